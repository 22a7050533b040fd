/** The longest list that a module takes or makes; as many as a loop may have items. */
export const MAX_ITEMS = 100_000

/** Characters of a text that a module takes. */
export const MAX_TEXT = 10_000_000
