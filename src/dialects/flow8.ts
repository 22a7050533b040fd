import { errorCodeDialect } from './error-code.js'

/** flow8: `error` is a word in capitals. Lists are paged by `page` (from 0) and `size` (25 unless said, at most 100). */
export const flow8 = errorCodeDialect('flow8', { run: 'play' })
