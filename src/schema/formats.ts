// The formats of JSON Schema 2020-12, section 7.3; draft 7 has most of them. All take time in proportion to the text: the
// expressions here repeat nothing that can be read in two ways.

const DATE = /^(\d{4})-(\d{2})-(\d{2})$/
const TIME = /^(\d{2}):(\d{2}):(\d{2})(?:\.\d+)?(?:[zZ]|([+-])(\d{2}):(\d{2}))$/
const DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

function isDate(text: string): boolean {
  const found = DATE.exec(text)
  if (found === null) return false
  const [year, month, day] = [Number(found[1]), Number(found[2]), Number(found[3])]
  if (month < 1 || month > 12 || day < 1) return false
  const isLeapYear = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
  return day <= (month === 2 && isLeapYear ? 29 : DAYS[month - 1])
}

/** RFC 3339; a second 60 is one that is added at midnight UTC. */
function isTime(text: string): boolean {
  const found = TIME.exec(text)
  if (found === null) return false
  const [hour, minute, second] = [Number(found[1]), Number(found[2]), Number(found[3])]
  const [offsetHour, offsetMinute] = [Number(found[5] ?? 0), Number(found[6] ?? 0)]
  if (hour > 23 || minute > 59 || second > 60 || offsetHour > 23 || offsetMinute > 59) return false
  if (second < 60) return true
  const offset = (offsetHour * 60 + offsetMinute) * (found[4] === '-' ? -1 : 1)
  return (hour * 60 + minute - offset + 2 * 1440) % 1440 === 1439
}

function isDateTime(text: string): boolean {
  return /^[tT]$/.test(text[10] ?? '') && isDate(text.slice(0, 10)) && isTime(text.slice(11))
}

/** ISO 8601 as RFC 3339 has it in its appendix A: weeks stand alone, units come in their order. */
function isDuration(text: string): boolean {
  if (/^P\d+W$/.test(text)) return true
  const [date, time, ...more] = text.split('T')
  if (more.length > 0 || !/^P(?:\d+Y(?:\d+M(?:\d+D)?)?|\d+M(?:\d+D)?|\d+D)?$/.test(date)) return false
  if (time === undefined) return date.length > 1
  return /^(?:\d+H(?:\d+M(?:\d+S)?)?|\d+M(?:\d+S)?|\d+S)$/.test(time)
}

function isHostname(text: string): boolean {
  if (text.length === 0 || text.length > 253) return false
  return text.split('.').every((label) => {
    if (!/^[A-Za-z0-9-]{1,63}$/.test(label) || label.startsWith('-') || label.endsWith('-')) return false
    return label.slice(2, 4) !== '--' || /^xn--/i.test(label)
  })
}

const DOTS = /[.\u3002\uff0e\uff61]/

/** Every label is one of letters, marks and digits of some language. What RFC 5892 says of single characters is not checked. */
function isIdnHostname(text: string): boolean {
  if (text.length === 0 || text.length > 253) return false
  return text.split(DOTS).every((label) => {
    if (
      label.length === 0 ||
      label.length > 63 ||
      !/^(?:[\p{L}\p{M}\p{N}\u00b7\u0375\u05f3\u05f4\u30fb-]|\u200c|\u200d)+$/u.test(label)
    )
      return false
    return (
      (!label.startsWith('-') && !label.endsWith('-') && !/^\p{M}/u.test(label) && label.slice(2, 4) !== '--') ||
      /^xn--/i.test(label)
    )
  })
}

const IPV4 = /^(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}$/

function isIpv4(text: string): boolean {
  return text.length <= 15 && IPV4.test(text)
}

/** RFC 4291, section 2.2. */
function isIpv6(text: string): boolean {
  if (text.length < 2 || text.length > 45 || !/^[0-9a-fA-F:.]+$/.test(text)) return false
  const halves = text.split('::')
  if (halves.length > 2) return false
  let groups = 0
  for (const [index, half] of halves.entries()) {
    if (half === '') continue
    const parts = half.split(':')
    for (const [at, part] of parts.entries()) {
      const isLast = index === halves.length - 1 && at === parts.length - 1
      if (part.includes('.')) {
        if (!isLast || !isIpv4(part)) return false
        groups += 2
      } else {
        if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return false
        groups++
      }
    }
  }
  return halves.length === 2 ? groups <= 7 : groups === 8
}

const ATOM = /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+$/
const IDN_ATOM = /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\u{10ffff}-]+$/u
const QUOTED = /^"(?:[^"\\\r\n]|\\[^\r\n])*"$/

/** RFC 5321, section 4.1.2: `Local-part "@" ( Domain / address-literal )`. */
function isEmail(text: string, atom: RegExp, isDomain: (text: string) => boolean): boolean {
  const at = text.lastIndexOf('@')
  if (at < 1 || text.length > 320) return false
  const local = text.slice(0, at)
  const domain = text.slice(at + 1)
  const isLocal = local.startsWith('"') ? QUOTED.test(local) : local.split('.').every((part) => atom.test(part))
  if (!isLocal) return false
  if (!domain.startsWith('[') || !domain.endsWith(']')) return isDomain(domain)
  const literal = domain.slice(1, -1)
  return /^IPv6:/i.test(literal) ? isIpv6(literal.slice(5)) : isIpv4(literal)
}

const URI_CHARACTERS = /^(?:[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=]|%[0-9a-fA-F]{2})*$/
const IRI_CHARACTERS = /^(?:[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=\u00a0-\ud7ff\ue000-\u{10ffff}]|%[0-9a-fA-F]{2})*$/u
const PORT = /^(?::\d*)?$/

/** RFC 3986 and RFC 3987: the parts of which a reference consists, each with the characters that belong there. */
function isReference(text: string, characters: RegExp, needsScheme: boolean): boolean {
  if (!characters.test(text)) return false
  const hash = text.indexOf('#')
  const fragment = hash === -1 ? '' : text.slice(hash + 1)
  const beforeFragment = hash === -1 ? text : text.slice(0, hash)
  if (/[#[\]]/.test(fragment)) return false
  const question = beforeFragment.indexOf('?')
  const beforeQuery = question === -1 ? beforeFragment : beforeFragment.slice(0, question)
  if (question !== -1 && /[[\]]/.test(beforeFragment.slice(question))) return false
  const scheme = /^[A-Za-z][A-Za-z0-9+.-]*:/.exec(beforeQuery)?.[0]
  if (scheme === undefined && needsScheme) return false
  const hierarchy = beforeQuery.slice(scheme?.length ?? 0)
  if (!hierarchy.startsWith('//')) {
    // Without a scheme, a colon in the first segment would look like one.
    return !/[[\]]/.test(hierarchy) && (scheme !== undefined || !/^[^/]*:/.test(hierarchy))
  }
  const slash = hierarchy.indexOf('/', 2)
  const authority = slash === -1 ? hierarchy.slice(2) : hierarchy.slice(2, slash)
  if (slash !== -1 && /[[\]]/.test(hierarchy.slice(slash))) return false
  const at = authority.lastIndexOf('@')
  if (/[[\]@]/.test(at === -1 ? '' : authority.slice(0, at))) return false
  const host = authority.slice(at + 1)
  if (!host.startsWith('['))
    return !/[[\]]/.test(host) && PORT.test(host.slice(host.includes(':') ? host.indexOf(':') : host.length))
  const end = host.indexOf(']')
  if (end === -1 || !PORT.test(host.slice(end + 1))) return false
  const literal = host.slice(1, end)
  return isIpv6(literal) || /^[vV][0-9a-fA-F]+\.[A-Za-z0-9\-._~!$&'()*+,;=:]+$/.test(literal)
}

/** RFC 6570: literals, and expressions in braces. */
function isUriTemplate(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const character = text[at]
    if (character <= ' ' || character === '\u007f' || /["<>\\^`|}]/.test(character)) return false
    if (character === '%' && !/^[0-9a-fA-F]{2}$/.test(text.slice(at + 1, at + 3))) return false
    if (character !== '{') continue
    const end = text.indexOf('}', at)
    if (end === -1) return false
    const variables = text.slice(at + 1, end).replace(/^[+#./;?&=,!@|]/, '')
    const isVariable = (name: string) =>
      /^(?:\w|%[0-9a-fA-F]{2})+(?:\.(?:\w|%[0-9a-fA-F]{2})+)*(?:\*|:[1-9]\d{0,3})?$/.test(name)
    if (!variables.split(',').every(isVariable)) return false
    at = end
  }
  return true
}

const POINTER = /^(?:\/(?:[^~/]|~[01])*)*$/

/** An escape with what belongs to it; one of a property of Unicode by name. */
const ESCAPE = /\\(?:[pP]\{(?:\w+=)?\w+\}|[^])/g

/**
 * An expression that is only read, never applied, may look around and back. Properties of Unicode, for which the engine would
 * make a list of hundreds of ranges each time, are taken whatever their name is.
 */
function isPattern(text: string): boolean {
  try {
    void new RegExp(
      text.replaceAll(ESCAPE, (escape) => (/^\\[pP]\{/.test(escape) ? '\\d' : escape)),
      'u',
    )
    return true
  } catch {
    return false
  }
}

/** Whether a text has a format, by the format's name. Formats that are not here are not checked. */
export const FORMATS: ReadonlyMap<string, (text: string) => boolean> = new Map([
  ['date', isDate],
  ['time', isTime],
  ['date-time', isDateTime],
  ['duration', isDuration],
  ['email', (text: string) => isEmail(text, ATOM, isHostname)],
  ['idn-email', (text: string) => isEmail(text, IDN_ATOM, isIdnHostname)],
  ['hostname', isHostname],
  ['idn-hostname', isIdnHostname],
  ['ipv4', isIpv4],
  ['ipv6', isIpv6],
  ['uri', (text: string) => isReference(text, URI_CHARACTERS, true)],
  ['uri-reference', (text: string) => isReference(text, URI_CHARACTERS, false)],
  ['iri', (text: string) => isReference(text, IRI_CHARACTERS, true)],
  ['iri-reference', (text: string) => isReference(text, IRI_CHARACTERS, false)],
  ['uri-template', isUriTemplate],
  ['uuid', (text: string) => /^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/.test(text)],
  ['json-pointer', (text: string) => POINTER.test(text)],
  ['relative-json-pointer', (text: string) => /^(?:0|[1-9]\d*)(?:#|(?:\/(?:[^~/]|~[01])*)*)$/.test(text)],
  ['regex', isPattern],
])
