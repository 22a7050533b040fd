import { execFileSync } from 'node:child_process'
import { chmodSync, linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { folderSize, restingFolderSize } from './folder-size.js'

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-size-'))
})

afterEach(() => {
  execFileSync('chmod', ['-R', 'u+rwX', folder])
  rmSync(folder, { recursive: true, force: true })
})

describe('the size of a folder at rest', () => {
  it.each<[string, () => void]>([
    ['with nothing in it', () => {}],
    [
      'with files, holes, names of one file, links and pipes',
      () => {
        mkdirSync(join(folder, 'deep/er'), { recursive: true })
        writeFileSync(join(folder, 'deep/er/large'), Buffer.alloc(3_000_000, 1))
        linkSync(join(folder, 'deep/er/large'), join(folder, 'again'))
        writeFileSync(join(folder, 'holes'), '')
        truncateSync(join(folder, 'holes'), 10_000_000_000)
        symlinkSync('/usr', join(folder, 'out'))
        symlinkSync('.', join(folder, 'round'))
        execFileSync('mkfifo', [join(folder, 'pipe')])
      },
    ],
    [
      'with many small files',
      () => {
        for (let n = 0; n < 190; n++) writeFileSync(join(folder, `${n}`), '')
      },
    ],
    [
      'with more than is looked at here',
      () => {
        for (let n = 0; n < 400; n++) writeFileSync(join(folder, `${n}`), 'x')
      },
    ],
    [
      'that is closed in part',
      () => {
        mkdirSync(join(folder, 'closed'))
        chmodSync(join(folder, 'closed'), 0)
      },
    ],
    [
      'very deep',
      () => {
        mkdirSync(join(folder, ...Array.from({ length: 150 }, () => 'deeper-and-deeper')), { recursive: true })
      },
    ],
  ])('is what the program says of one %s', async (_, fill) => {
    fill()
    expect(await restingFolderSize(folder)).toEqual(await folderSize(folder))
  })
})
