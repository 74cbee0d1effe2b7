import type { GroupMember } from '../support/group-scenario.ts'
import type { GroupWatch } from '../support/group-watch.ts'
import type { Agent, GroupProtocol } from './agents.ts'
import { RunningAgent } from './agents.ts'

/** How an agent is a member of the group that is named like its topic. */
export interface MemberOptions {
  /** The address of the door that the agent speaks to. */
  readonly bootstrap: string
  readonly topic: string
  readonly protocol: GroupProtocol
  readonly assignor: string
  readonly sessionMs: number
  readonly instanceId?: string
  /** It is killed after this. */
  readonly runMsMax: number
}

/** An agent as a member of a group, which tells a watch what the agent says. */
export class AgentMember implements GroupMember {
  readonly #watch: GroupWatch
  readonly #name: string
  readonly #running: RunningAgent
  #ending: 'none' | 'leave' | 'die' = 'none'
  #failure = ''

  constructor(agent: Agent, watch: GroupWatch, name: string, options: MemberOptions) {
    this.#watch = watch
    this.#name = name
    const { sessionMs, runMsMax, ...rest } = options
    const parameters = { group: options.topic, sessionTimeoutMs: sessionMs, ...rest }
    const onLine = (line: Buffer) => this.#hear(JSON.parse(line.toString()))
    this.#running = new RunningAgent(agent, { command: 'join', parameters, onLine, runMsMax })
    void this.#running.ended.then(
      ({ code, stderr }) => {
        if (this.#ending === 'none' || (this.#ending === 'leave' && code !== 0)) {
          this.#failure = `${name} ended with ${code}: ${stderr}`
          watch.gone(name)
        }
      },
      (error: unknown) => (this.#failure = String(error)),
    )
  }

  get complaints(): string {
    return this.#failure
  }

  async leave(): Promise<void> {
    this.#ending = 'leave'
    this.#running.tell('stop')
    await this.#running.ended
    this.#watch.gone(this.#name)
  }

  async die(): Promise<void> {
    this.#ending = 'die'
    this.#running.kill()
    await this.#running.ended
    this.#watch.gone(this.#name)
  }

  /** Ends it without waiting: nobody wants to know any more. */
  kill(): void {
    this.#running.kill()
  }

  #hear(said: { assigned?: number[]; revoked?: number[]; p?: number; o?: number }) {
    if (said.assigned !== undefined) this.#watch.assigned(this.#name, said.assigned)
    if (said.revoked !== undefined) this.#watch.revoked(this.#name, said.revoked)
    if (said.p !== undefined && said.o !== undefined) this.#watch.saw(this.#name, said.p, said.o)
  }
}
