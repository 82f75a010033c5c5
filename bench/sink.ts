/**
 * The sink: as little HTTP as answers a POST with 202, on raw sockets, so that the other side is what is measured.
 * Started as a child. Sends `{ port }`, then `{ count }` whenever it is asked.
 */
import { createServer } from 'node:net'

const ANSWER = 'HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n'
const LENGTH = /\r\ncontent-length: (\d+)/i
let count = 0

const server = createServer({ noDelay: true }, (socket) => {
  let pending = Buffer.alloc(0)
  socket.on('error', () => { socket.destroy() })
  socket.on('data', (chunk) => {
    let bytes = pending.length > 0 ? Buffer.concat([pending, chunk]) : chunk
    let answers = ''
    for (;;) {
      const end = bytes.indexOf('\r\n\r\n')
      if (end < 0) break
      const length = Number(LENGTH.exec(bytes.toString('latin1', 0, end))?.[1] ?? 0)
      if (bytes.length < end + 4 + length) break
      bytes = bytes.subarray(end + 4 + length)
      answers += ANSWER
      count++
    }
    pending = bytes
    if (answers !== '') socket.write(answers)
  })
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (address !== null && typeof address === 'object') process.send?.({ port: address.port })
})
process.on('message', () => { process.send?.({ count }) })
process.on('disconnect', () => { process.exit(0) })
