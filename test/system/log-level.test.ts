import { afterAll, beforeAll, expect, test } from 'vitest'
import { DescribeConfigs } from '../../src/protocols/kafka/apis/32-describe-configs.ts'
import { IncrementalAlterConfigs } from '../../src/protocols/kafka/apis/44-incremental-alter-configs.ts'
import { ERROR_CODES } from '../../src/protocols/kafka/error-codes.ts'
import type { BrokerProcess } from '../support/broker-process.ts'
import { BrokerHome } from '../support/broker-process.ts'
import { HttpClient } from '../support/http-client.ts'
import { KafkaClient } from '../support/kafka-client.ts'
import { startWholeBroker } from '../support/start-broker.ts'
import { runCli } from './cli-harness.ts'

const TOKEN = 'a-token-that-nobody-logs'
const BROKER_LOGGER = 8
const SET = 0
const DELETE = 1

let home: BrokerHome
let broker: BrokerProcess
let http: HttpClient
let kafka: KafkaClient
beforeAll(async () => {
  home = new BrokerHome()
  broker = await home.start({ environment: { CAFELOG_TOKEN: TOKEN } })
  http = new HttpClient(broker.httpPort)
  kafka = await KafkaClient.connect(broker.kafkaPort)
})
afterAll(async () => {
  http.close()
  kafka.close()
  await home.remove()
})

const headers = { authorization: `Bearer ${TOKEN}` }
const PATH = '/api/v1/log-level'
const brokerctl = (args: readonly string[], env: Readonly<Record<string, string>> = { CAFELOG_TOKEN: TOKEN }) =>
  runCli(args, { ...env, CAFELOG_HTTP: `http://127.0.0.1:${broker.httpPort}` })

async function alter(configs: readonly { name: string; value: string | null; configOperation: number }[], name = '1') {
  const resources = [{ resourceType: BROKER_LOGGER, resourceName: name, configs: [...configs] }]
  const { responses } = await kafka.ask(IncrementalAlterConfigs, 1, { resources, validateOnly: false })
  return responses[0]
}

test('over HTTP', async () => {
  expect((await http.ask('GET', PATH, { headers })).json).toEqual({ level: 'info', levelAtStart: 'info' })
  const changed = await http.ask('PUT', PATH, { headers, body: { level: 'debug' } })
  expect(changed).toMatchObject({ status: 200, json: { level: 'debug', levelAtStart: 'info' } })
  await expect
    .poll(() => broker.log.at(-1))
    .toMatchObject({
      event: 'log-level',
      from: 'info',
      to: 'debug',
      by: 'HTTP',
    })
  // A connection that asks for what there is not is a detail.
  const lost = await KafkaClient.connect(broker.kafkaPort)
  lost.socket.write(Buffer.from([0, 0, 0, 4, 0x7f, 0, 0, 0]))
  await lost.next()
  await expect.poll(() => broker.log.at(-1)?.level).toBe('debug')
  for (const body of [{}, { level: 'loud' }, { level: 7 }, { level: 'info', more: 1 }]) {
    expect(await http.ask('PUT', PATH, { headers, body })).toMatchObject({ status: 400 })
  }
  expect(await http.ask('PUT', PATH, { body: { level: 'info' } })).toMatchObject({ status: 401 })
  expect((await http.ask('GET', PATH, { headers })).json.level).toBe('debug')
})

test('by Kafka clients, as the logger of the broker', async () => {
  await http.ask('PUT', PATH, { headers, body: { level: 'info' } })
  const describe = async () => {
    const resources = [{ resourceType: BROKER_LOGGER, resourceName: '1', configurationKeys: null }]
    const { results } = await kafka.ask(DescribeConfigs, 4, {
      resources,
      includeSynonyms: true,
      includeDocumentation: true,
    })
    return results[0].configs
  }
  expect(await describe()).toMatchObject([{ name: 'root', value: 'INFO', readOnly: false, configSource: 6 }])
  expect(await alter([{ name: 'root', value: 'WARN', configOperation: SET }])).toMatchObject({ errorCode: 0 })
  expect(await describe()).toMatchObject([{ value: 'WARN' }])
  await expect
    .poll(() => broker.log.at(-1))
    .toMatchObject({
      event: 'log-level',
      to: 'warn',
      by: expect.stringMatching(/^Kafka client /),
    })
  expect(await alter([{ name: 'ROOT', value: null, configOperation: DELETE }])).toMatchObject({ errorCode: 0 })
  expect(await describe()).toMatchObject([{ value: 'INFO' }])
  for (const [change, name] of [
    [{ name: 'root', value: 'LOUD', configOperation: SET }, '1'],
    [{ name: 'kafka.server', value: 'DEBUG', configOperation: SET }, '1'],
    [{ name: 'root', value: 'DEBUG', configOperation: 2 }, '1'],
    [{ name: 'root', value: 'DEBUG', configOperation: SET }, '2'],
  ] as const) {
    expect(await alter([change], name)).toMatchObject({ errorCode: ERROR_CODES.INVALID_REQUEST })
  }
  expect(await describe()).toMatchObject([{ value: 'INFO' }])
})

test('with brokerctl', async () => {
  expect(await brokerctl(['broker', 'log-level', 'error'])).toMatchObject({ code: 0 })
  const shown = await brokerctl(['broker', 'log-level', '-j'])
  expect(JSON.parse(shown.stdout)).toEqual({ level: 'error', levelAtStart: 'info' })
  expect(await brokerctl(['broker', 'log-level', 'loud'])).toMatchObject({ code: 2 })
  const refused = await brokerctl(['broker', 'log-level'], {})
  expect(refused).toMatchObject({ code: 8, stderr: expect.stringContaining('CAFELOG_TOKEN') })
  expect(JSON.stringify(broker.log)).not.toContain(TOKEN)
})

test('a broker inside another program has no log of its own', async () => {
  const inside = await startWholeBroker()
  const client = new HttpClient(inside.httpPort)
  expect(await client.ask('GET', PATH)).toMatchObject({ status: 400, json: { error: { code: 'INVALID_REQUEST' } } })
  client.close()
  await inside.stop()
})
