/**
 * Whether `value` is a whole number of times `divisor`, both taken for the decimal numbers that they are written as: 0.3 is
 * three times 0.1, which floating point denies.
 */
export function isMultipleOf(value: number, divisor: number): boolean {
  const quotient = value / divisor
  if (Number.isInteger(value) && Number.isInteger(divisor)) return value % divisor === 0
  // Where this is far from whole the exact way, which is slow, has nothing to add.
  if (Number.isFinite(quotient) && Math.abs(quotient - Math.round(quotient)) > 1e-6 * Math.max(1, Math.abs(quotient))) {
    return false
  }
  const left = toDecimal(value)
  const right = toDecimal(divisor)
  const scale = Math.min(left.exponent, right.exponent)
  const scaled = ({ digits, exponent }: Decimal) => digits * 10n ** BigInt(exponent - scale)
  return scaled(left) % scaled(right) === 0n
}

interface Decimal {
  readonly digits: bigint
  readonly exponent: number
}

function toDecimal(value: number): Decimal {
  const [mantissa, exponent = '0'] = String(value).split('e')
  const [whole, fraction = ''] = mantissa.split('.')
  return { digits: BigInt(whole + fraction), exponent: Number(exponent) - fraction.length }
}
