/** So many characters of a text count as one value. */
const CHARACTERS_PER_VALUE = 6

/**
 * A text that two values of JSON have in common just when they are equal: members in the order of their names. `count` is
 * told how many values are looked at, before they are; long texts count as several.
 */
export function toCanonicalJson(value: unknown, count: (values: number) => void): string {
  if (typeof value !== 'object' || value === null) {
    count(typeof value === 'string' ? 1 + value.length / CHARACTERS_PER_VALUE : 1)
    return JSON.stringify(value)
  }
  if (Array.isArray(value)) {
    count(1 + value.length)
    return `[${value.map((item) => toCanonicalJson(item, count)).join(',')}]`
  }
  const entries = Object.entries(value)
  count(1 + 4 * entries.length)
  const members = entries.toSorted(([one], [other]) => (one < other ? -1 : 1))
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${toCanonicalJson(member, count)}`).join(',')}}`
}
