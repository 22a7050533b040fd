import { styleText } from 'node:util'
import type { ExecutionMessage } from './flowrunner-client.js'

type Style = Parameters<typeof styleText>[0]

const WIDTH = 110

/** Tells on the terminal what happens, in few words. */
export class Narrator {
  private startedAt = 0

  chapter(title: string): void {
    this.write(`\n${paint('bold', title)}`)
  }

  say(line: string): void {
    for (const one of line.split('\n')) this.write(`  ${one}`)
  }

  fact(name: string, value: string): void {
    this.say(`${name.padEnd(16)}${value}`)
  }

  complaint(line: string): void {
    for (const one of line.split('\n')) this.write(`  ${paint('red', one)}`)
  }

  /** One message of an execution, with the seconds since the first. */
  message(message: ExecutionMessage): void {
    const at = Date.parse(message.timestamp)
    this.startedAt ||= at
    const seconds = paint(
      'gray',
      `${Math.max(0, (at - this.startedAt) / 1000)
        .toFixed(2)
        .padStart(6)} s`,
    )
    this.write(`  ${seconds}  ${this.sentence(message)}`)
  }

  private sentence(message: ExecutionMessage): string {
    const { type, node_id: node = '', node_type: nodeType = '', status = '' } = message
    switch (type) {
      case 'execution_update':
        return node ? `${paint('cyan', '▸')} ${node}  ${paint('gray', nodeType)}` : status
      case 'node_completed':
        return `${paint('green', '✓')} ${node}  ${paint('gray', short(message.result))}`
      case 'log':
        return `    ${message.level} ${message.message} ${paint('gray', message.data ? short(message.data) : '')}`
      case 'execution_completed':
        return paint('green', status)
      case 'execution_failed':
        return paint('red', `${status}${node && ` in ${node}`}: ${message.error}`)
    }
  }

  private write(line: string): void {
    process.stdout.write(`${line.trimEnd()}\n`)
  }
}

function short(value: unknown): string {
  const text = JSON.stringify(value) ?? ''
  const size = Array.isArray(value) ? `${value.length} items ` : ''
  return size + (text.length <= WIDTH ? text : `${text.slice(0, WIDTH - 1)}…`)
}

function paint(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout })
}
