import { existsSync, readdirSync, readFileSync } from 'node:fs'

/** What a type of problem means, for whoever follows its URI. */
export interface ProblemPage {
  slug: string
  title: string
  status: number
  cause: string
  fix: string
}

const FOLDER = new URL('../../../docs/problems/', import.meta.url)
const PAGE =
  /^# (?<title>.+)\n\nStatus: (?<status>\d{3})\n\n## Cause\n\n(?<cause>[\s\S]+?)\n\n## Fix\n\n(?<fix>[\s\S]+?)\n$/

/** Throws where the page is not written as all are. Undefined where there is none. */
export function problemPage(slug: string): ProblemPage | undefined {
  const file = new URL(`${slug}.md`, FOLDER)
  if (!/^[a-z0-9-]{1,64}$/.test(slug) || !existsSync(file)) return undefined
  const parts = PAGE.exec(readFileSync(file, 'utf8'))?.groups
  if (!parts) throw new Error(`docs/problems/${slug}.md does not have a title, a status, a cause and a fix`)
  const { title = '', status, cause = '', fix = '' } = parts
  return { slug, title, status: Number(status), cause: unwrapped(cause), fix: unwrapped(fix) }
}

export function problemSlugs(): string[] {
  return readdirSync(FOLDER)
    .filter((name) => name.endsWith('.md'))
    .map((name) => name.slice(0, -3))
}

function unwrapped(text: string): string {
  return text.replaceAll('\n', ' ')
}
