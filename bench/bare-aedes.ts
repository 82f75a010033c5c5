/** The ceiling for intake: Aedes as it comes, storing nothing, on plain sockets. A child; sends `{ port }`. */
import { createServer } from 'node:net'
import { Aedes } from 'aedes'

const broker = await Aedes.createBroker({ concurrency: 1000 })
const server = createServer({ noDelay: true }, (socket) => { broker.handle(socket) })
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (address !== null && typeof address === 'object') process.send?.({ port: address.port })
})
process.on('disconnect', () => { process.exit(0) })
