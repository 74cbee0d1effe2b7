import { parseTopicName } from '../../src/base/topic-name.ts'
import { Client } from './client.ts'
import { damageSegment } from './damage.ts'
import type { Step } from './habits.ts'
import { Violation } from './partition-model.ts'
import { describe, type TopicModel, type World } from './world.ts'

const TOPIC_NAMES = ['orders', 'payments', 'audit.log'].map((name) => parseTopicName(name))
const PARTITIONS_MAX = 4

/** What a running process goes through: clients, operators, time, and a disk that fails, fills up and rots. */
export class Work {
  readonly client: Client
  readonly #world: World

  constructor(world: World) {
    this.#world = world
    this.client = new Client(world)
  }

  /** Takes up to `steps` random steps; fewer when the process dies. */
  async run(steps: number): Promise<void> {
    const world = this.#world
    for (let step = 0; step < steps && !world.process.isStopped && !world.isSpent; step += 1) {
      world.report.steps += 1
      try {
        await (world.topics.size === 0
          ? this.#openTopic()
          : this.#step(world.random.pickWeighted(world.options.habits.steps)))
      } catch (error) {
        if (error instanceof Violation) throw error
        if (!world.process.isStopped) world.judge.fail('error', `what came out of the engine: ${describe(error)}`)
      }
      if (!world.process.isStopped) this.observe()
      world.judge.check()
    }
  }

  /** Looks at every partition, as a client between two requests might. */
  observe(): void {
    const world = this.#world
    const { judge } = world
    const { fileSystem } = world.process
    if (fileSystem.misuses.length > 0) judge.fail('handles', fileSystem.misuses[0])
    world.latestNow = Math.max(world.latestNow, world.clock.now())
    if (world.process.engine.cleaner.runs.corrupt > 0 && !world.isDamaged && !world.hasStruck) {
      judge.fail('compaction', 'damage was found where there is none')
    }
    for (const { model, log } of world.places()) {
      model.observe(log, world.latestNow)
      if (world.random.chance(0.1)) this.client.checkProducers({ model, log })
      if ((world.notified.get(log) ?? log.highWatermark) !== log.highWatermark) {
        judge.fail('high watermark', `${model.name} reached ${log.highWatermark}, nobody was told`)
      }
      if (log.failure && !world.hasStruck) {
        judge.fail('failure', `${model.name} closed without cause: ${log.failure.message}`)
      }
      const hasLost = fileSystem.failedSyncs.some((path) => path.endsWith('.log') && world.modelOf(path) === model)
      if (hasLost && !log.failure && fileSystem.pendingCompletions === 0) {
        judge.fail('failed sync', `${model.name} goes on after a failed sync`)
      }
    }
    world.latestNow = world.clock.now()
  }

  /** Lets the disk finish everything. */
  async settle(): Promise<void> {
    const world = this.#world
    await world.process.completeAll()
    if (world.process.isStopped || world.hasStruck) return
    for (const { model, log } of world.places()) model.settled(log, world.clock.monotonic())
  }

  async #step(kind: Step): Promise<void> {
    const world = this.#world
    const { random, process } = world
    switch (kind) {
      case 'append':
        this.client.append()
        if (random.chance(0.8)) await process.turn()
        return
      case 'turn':
        return process.turn()
      case 'completeOne':
        process.completeOne()
        return process.turn()
      case 'completeAll':
        return this.settle()
      case 'advance':
        return this.#advance(random.below(random.pick([5, 100, 2_000, 20_000])))
      case 'jump':
        return this.#jump()
      case 'read':
        return this.client.read()
      case 'findTime':
        return this.client.findTime()
      case 'deleteRecords':
        return this.client.deleteRecords()
      case 'openTopic':
        return this.#openTopic()
      case 'deleteTopic':
        return this.#deleteTopic()
      case 'configure':
        return this.#configure()
      case 'makeRoom':
        return this.#makeRoom()
      case 'fillDisk':
        return this.#fillDisk()
      case 'fault':
        if (world.options.hasFaults) world.plan.armAny(random)
        return
      case 'compact':
        return this.#compact()
      case 'rot':
        if (world.options.hasFaults) damageSegment(world)
    }
  }

  async #advance(milliseconds: number): Promise<void> {
    const world = this.#world
    world.say(`${milliseconds} ms pass`)
    let left = milliseconds
    while (left > 0 && !world.process.isStopped) {
      const next = Math.min(left, Math.max(1, world.clock.nextTimerInMs ?? left))
      world.process.advance(next)
      left -= next
      await world.process.turn()
      if (world.random.chance(0.5)) world.process.completeOne()
      if (!world.process.isStopped) this.observe()
    }
  }

  #jump(): void {
    const world = this.#world
    const milliseconds = world.random.between(-7_200_000, 7_200_000)
    world.say(`the wall clock is set by ${milliseconds} ms`)
    world.clock.jump(milliseconds)
    world.latestNow = Math.max(world.latestNow, world.clock.now())
  }

  async #openTopic(): Promise<void> {
    const world = this.#world
    const name = world.random.pick(TOPIC_NAMES)
    const topic: TopicModel = world.topics.get(name) ?? {
      name,
      config: world.anyConfig(),
      partitions: [],
      state: 'present',
    }
    const wanted = topic.partitions.length + world.random.between(1, 2)
    if (wanted > PARTITIONS_MAX) return
    // The models come first: whatever the engine has of them from then on must be empty and stay what it becomes.
    world.topics.set(name, topic)
    while (topic.partitions.length < wanted) topic.partitions.push(world.newModel(topic, topic.partitions.length))
    world.say(`open ${name} with ${wanted} partitions`)
    if (world.random.chance(0.2)) world.plan.stopAfter(1 + world.random.below(12))
    try {
      await world.process.settle(world.process.engine.openTopic(name, wanted, topic.config))
    } catch (error) {
      return this.#giveUp(error)
    }
    for (const [index, model] of topic.partitions.entries()) {
      const log = world.logOf(topic, index)
      if (!world.notified.has(log)) world.notified.set(log, log.highWatermark)
      if (model.leaderEpoch < 0) model.leaderEpoch = log.leaderEpoch
      if (log.failure) this.#giveUp(log.failure)
      else if (log.logEndOffset > model.nextOffset) {
        world.judge.fail('I14 deleted stays deleted', `${model.name} is not empty`)
      }
    }
  }

  async #deleteTopic(): Promise<void> {
    const world = this.#world
    const topic = world.random.pick([...world.topics.values()])
    if (world.random.chance(0.5)) this.client.deleteRecords()
    if (world.random.chance(0.4)) world.plan.stopAfter(1 + world.random.below(25))
    topic.state = 'deleting'
    world.say(`delete ${topic.name}`)
    try {
      await world.process.settle(world.process.engine.deleteTopic(topic.name))
    } catch (error) {
      this.#giveUp(error)
      if (!world.process.isStopped) topic.state = 'refused'
      return
    }
    world.topics.delete(topic.name)
    world.process.fileSystem.failedSyncs.length = 0
    world.report.topicsDeleted += 1
  }

  /** An operation on topics failed: it may, when something went wrong on the disk. The process is then of no more use. */
  #giveUp(error: unknown): void {
    const world = this.#world
    if (error instanceof Violation) throw error
    world.isSpent = true
    if (world.process.isStopped || world.hasStruck || world.wasFull) return
    world.judge.fail('topics', `refused without cause: ${describe(error)}`)
  }

  #configure(): void {
    const world = this.#world
    const topic = world.random.pick([...world.topics.values()])
    const { flushPolicy, ...rest } = world.anyConfig()
    topic.config = { ...rest, flushPolicy: world.random.chance(0.3) ? flushPolicy : topic.config.flushPolicy }
    world.say(`configure ${topic.name}: ${JSON.stringify(topic.config)}`)
    world.process.engine.configureTopic(topic.name, topic.config)
    for (const model of topic.partitions) model.configure(topic.config)
  }

  /** Has the cleaner look for work, and lets it do that beside everything else, or waits for it. */
  async #compact(): Promise<void> {
    const world = this.#world
    world.say('compact')
    world.report.compactions += 1
    const cleaning = world.process.engine.compact()
    if (world.random.chance(0.3)) await world.process.settle(cleaning)
    else await world.process.turn()
  }

  #fillDisk(): void {
    const world = this.#world
    if (!world.options.hasFaults) return
    world.report.disksFilled += 1
    world.wasFull = true
    world.wasEverFull = true
    world.disk.capacityBytes = world.disk.usedBytes + world.random.below(world.random.pick([300, 1_000, 3_000, 30_000]))
    world.say(`the disk has room for ${world.disk.freeBytes} bytes`)
    if (world.random.chance(0.3)) world.plan.stopAfter(1 + world.random.below(25))
    this.client.append()
  }

  /** The disk has room again; then everything goes on as if nothing had been, without a restart. */
  async #makeRoom(): Promise<void> {
    const world = this.#world
    world.disk.capacityBytes = Number.POSITIVE_INFINITY
    if (!world.wasFull || world.hasStruck) return
    world.plan.disarm()
    world.say('the disk has room again')
    // The engine looks every second.
    await this.#advance(2_000)
    if (world.process.isStopped) return
    world.wasFull = false
    for (const { log } of world.places()) {
      if (log.failure) world.judge.fail('I15 disk full', `it has closed a partition: ${log.failure.message}`)
    }
    this.client.append()
    await this.settle()
  }
}
