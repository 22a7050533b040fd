/*
 * The server as the demo starts it: the same as `npm start`, except that it stops when the demo is gone, however that ended. The demo
 * holds the other end of stdin.
 */
process.stdin.once('end', () => process.kill(process.pid, 'SIGTERM')).resume()
await import('../app/api.js')

export {}
