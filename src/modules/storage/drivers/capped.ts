import { Transform } from 'node:stream'

/** What a service may answer that is no content of an object: lists, properties, faults. A list of 1,000 keys has some 2 MiB. */
export const MOST_ANSWER_BYTES = 32 * 1024 * 1024

/** Ends with an error where more comes than any answer needs, since an SDK would keep all of it. */
export function capped(): Transform {
  let seen = 0
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      seen += chunk.length
      if (seen > MOST_ANSWER_BYTES) done(tooLarge())
      else done(null, chunk)
    },
  })
}

export function tooLarge(): Error {
  return Object.assign(new Error(`its answer is larger than ${MOST_ANSWER_BYTES} bytes`), { code: 'ANSWER_TOO_LARGE' })
}
