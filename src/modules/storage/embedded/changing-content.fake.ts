import { numbered } from '../../../platform/objects/numbered-content.fake.js'
import { LEAST_PART_BYTES } from './multipart-uploads.js'

/** The content of this number, in the parts in which it is put: every third comes in two. */
export function partsOf(number: number): Buffer[] {
  return number % 3 === 0 ? [Buffer.alloc(LEAST_PART_BYTES, `part ${number} `), numbered(number)] : [numbered(number)]
}
