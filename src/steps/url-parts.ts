import { invalidParams } from './invalid-params.js'

/** A part of a connection's URL as it was meant. */
export function decodedPart(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalidParams('a part of the connection is not written as a URL has it')
  }
}

/** The host as clients take it: IPv6 addresses without their brackets. */
export function hostOf(url: URL): string {
  return decodedPart(url.hostname).replace(/^\[|\]$/g, '')
}
