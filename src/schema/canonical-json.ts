/**
 * A text that two values of JSON have in common just when they are equal: members in the order of their names. `count` is
 * told how many values were looked at.
 */
export function toCanonicalJson(value: unknown, count: (values: number) => void): string {
  if (typeof value !== 'object' || value === null) {
    count(1)
    return JSON.stringify(value)
  }
  if (Array.isArray(value)) {
    count(1 + value.length)
    return `[${value.map((item) => toCanonicalJson(item, count)).join(',')}]`
  }
  const members = Object.entries(value).toSorted(([one], [other]) => (one < other ? -1 : 1))
  count(1 + members.length)
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${toCanonicalJson(member, count)}`).join(',')}}`
}
