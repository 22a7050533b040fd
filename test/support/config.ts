import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Config, readConfig } from '../../src/platform/config/config.js'

/** A configuration as an operator would write it, with fixed keys and without a log; `set` wins. Nothing is written for it. */
export function testConfig(set: Record<string, string> = {}): Config {
  return readConfig({
    NODE_ENV: 'test',
    PORT: '0',
    LOG_LEVEL: 'silent',
    DATA_DIR: join(tmpdir(), `millrace-test-data-${process.pid}`),
    JWT_SECRET: 'for tests only, forty characters long...',
    ENCRYPTION_KEY: `test:${'5e'.repeat(32)}`,
    DATABASE_POOL_SIZE: '5',
    RATE_LIMIT: '0',
    // Whatever this machine has: a test that wants a container runtime brings its own.
    CONTAINER_SOCKET: join(tmpdir(), 'millrace-test-no-containers.sock'),
    ...set,
  })
}
