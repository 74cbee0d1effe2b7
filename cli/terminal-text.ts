// Everything that could move the cursor, change colours or turn the reading direction: records come from anywhere. The
// joiners stay, they hold emoji together.
const UNSAFE = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/** Text of others as it may be shown in a terminal: control characters become `\x1b`, `\u202e`. */
export function visible(text: string): string {
  return text.replace(UNSAFE, (character) => {
    const hex = (character.codePointAt(0) ?? 0).toString(16)
    return hex.length <= 2
      ? `\\x${hex.padStart(2, '0')}`
      : hex.length <= 4
        ? `\\u${hex.padStart(4, '0')}`
        : `\\u{${hex}}`
  })
}

/** Cuts text to so many columns, the last of them an ellipsis when something was cut. */
export function cutToWidth(text: string, columns: number): string {
  let width = 0
  let length = 0
  let fitting = 0
  for (const character of text) {
    width += isWide(character) ? 2 : 1
    if (width > columns) return `${text.slice(0, fitting)}…`
    length += character.length
    if (width < columns) fitting = length
  }
  return text
}

function isWide(character: string): boolean {
  return (
    character >= '\u1100' &&
    /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\uff00-\uff60]/u.test(
      character,
    )
  )
}
