import type { AddressInfo, Server, Socket } from 'node:net'
import { connect, createServer } from 'node:net'

/** Passes connections on to a port of this machine, and keeps the request frames of Kafka's protocol that go there. */
export class RecordingProxy {
  /** Where to pass connections on to. */
  targetPort = 0
  readonly frames: Buffer[] = []
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor() {
    this.#server = createServer((client) => this.#passOn(client))
  }

  static async listen(): Promise<RecordingProxy> {
    const proxy = new RecordingProxy()
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

  #passOn(client: Socket): void {
    const broker = connect(this.targetPort, '127.0.0.1')
    for (const socket of [client, broker]) {
      this.#sockets.add(socket)
      socket.on('error', () => socket.destroy())
    }
    client.on('close', () => broker.destroy())
    broker.on('close', () => client.destroy())
    let kept = Buffer.alloc(0)
    client.on('data', (chunk: Buffer) => {
      kept = Buffer.concat([kept, chunk])
      while (kept.length >= 4 && kept.length >= 4 + kept.readInt32BE(0)) {
        const end = 4 + kept.readInt32BE(0)
        this.frames.push(Buffer.from(kept.subarray(0, end)))
        kept = kept.subarray(end)
      }
    })
    client.pipe(broker)
    broker.pipe(client)
  }
}
