/** A small TCP load balancer: each connection goes to the next of the backends that there are at the moment. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

export class Balancer {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #backends = new Map<string, number>()
  #next = 0

  constructor () {
    this.#server = createServer((device) => { this.#forward(device) })
  }

  async start (): Promise<number> {
    await new Promise<void>((resolve) => { this.#server.listen(0, '127.0.0.1', resolve) })
    return (this.#server.address() as AddressInfo).port
  }

  /** A backend listens on this port from now on; undefined: it is gone. */
  set (name: string, port: number | undefined): void {
    if (port === undefined) this.#backends.delete(name)
    else this.#backends.set(name, port)
  }

  async close (): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise<void>((resolve) => { this.#server.close(() => { resolve() }) })
  }

  #forward (device: Socket): void {
    const ports = [...this.#backends.values()]
    const port = ports[this.#next++ % ports.length]
    this.#keep(device)
    if (port === undefined) {
      device.destroy()
      return
    }
    const backend = connect(port, '127.0.0.1')
    this.#keep(backend)
    device.pipe(backend).pipe(device)
    device.once('close', () => { backend.destroy() })
    backend.once('close', () => { device.destroy() })
  }

  #keep (socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => { this.#sockets.delete(socket) })
  }
}
