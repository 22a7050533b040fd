import { errorCodeDialect } from './error-code.js'

/** FacilFlow: its reference shows no error, so it spells them as flow8 does. Lists answer all under their noun, with `total`. */
export const facilflow = errorCodeDialect('facilflow')
