import type { AddressInfo, Server, Socket } from 'node:net'
import { connect, createServer } from 'node:net'

/** Passes connections on to a port of this machine and counts the bytes in both directions. */
export class CountingProxy {
  /** To the target. */
  bytesIn = 0
  /** From it. */
  bytesOut = 0
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(targetPort: number) {
    this.#server = createServer((client) => this.#passOn(client, targetPort))
  }

  static async listen(targetPort: number): Promise<CountingProxy> {
    const proxy = new CountingProxy(targetPort)
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve))
    return proxy
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }

  #passOn(client: Socket, targetPort: number): void {
    const target = connect(targetPort, '127.0.0.1')
    for (const socket of [client, target]) {
      this.#sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => socket.destroy())
    }
    client.on('close', () => target.destroy())
    target.on('close', () => client.destroy())
    client.on('data', (chunk: Buffer) => (this.bytesIn += chunk.length))
    target.on('data', (chunk: Buffer) => (this.bytesOut += chunk.length))
    client.pipe(target)
    target.pipe(client)
  }
}
