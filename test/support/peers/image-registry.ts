import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { busyboxRoot } from './busybox-image.js'

/**
 * A registry of one image, `{host}/team/busybox:1`, which answers what a pull asks for by the distribution specification. Docker speaks
 * plain HTTP with those on 127.0.0.1.
 */
export async function startRegistry() {
  const layer = await buffer(busyboxRoot())
  const packed = gzipSync(layer)
  const config = Buffer.from(
    JSON.stringify({
      architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
      os: 'linux',
      config: { Cmd: ['/bin/sh'], User: '1234' },
      rootfs: { type: 'layers', diff_ids: [digestOf(layer)] },
    }),
  )
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: { mediaType: 'application/vnd.docker.container.image.v1+json', ...described(config) },
      layers: [{ mediaType: 'application/vnd.docker.image.rootfs.diff.tar.gzip', ...described(packed) }],
    }),
  )
  const blobs = new Map([config, packed].map((blob) => [digestOf(blob), blob]))
  const digest = digestOf(manifest)
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    const [, kind, reference = ''] = /^\/v2\/team\/busybox\/(manifests|blobs)\/(.+)$/.exec(request.url ?? '') ?? []
    const send = (content: Buffer, type: string) => {
      response.writeHead(200, {
        'content-type': type,
        'content-length': content.length,
        'docker-content-digest': digestOf(content),
      })
      response.end(request.method === 'HEAD' ? undefined : content)
    }
    if (request.url === '/v2/') return send(Buffer.from('{}'), 'application/json')
    if (kind === 'manifests' && (reference === '1' || reference === digest)) return send(manifest, MANIFEST)
    const blob = kind === 'blobs' && blobs.get(reference)
    if (blob) return send(blob, 'application/octet-stream')
    response.writeHead(404).end('{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    name: `127.0.0.1:${(server.address() as AddressInfo).port}/team/busybox`,
    digest,
    asked,
    async stop() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

const MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json'

function described(content: Buffer) {
  return { size: content.length, digest: digestOf(content) }
}

function digestOf(content: Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`
}
