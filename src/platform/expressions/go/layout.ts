import { Fault } from './call.js'

/** The parts of Go's reference time, Mon Jan 2 15:04:05 MST 2006, longest first where one begins another. */
const ELEMENT =
  /January|Jan|Monday|Mon|MST|2006|Z07:00|Z0700|-07:00|-0700|-07|\.(?:0+|9+)(?!\d)|,(?:0+|9+)(?!\d)|002|01|02|03|04|05|06|15|_2|PM|pm|1|2|3|4|5/g

const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
]
const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']

/** Layouts that Go has names for. */
const LAYOUTS = new Map(
  Object.entries({
    ANSIC: 'Mon Jan _2 15:04:05 2006',
    UnixDate: 'Mon Jan _2 15:04:05 MST 2006',
    RFC822: '02 Jan 06 15:04 MST',
    RFC850: 'Monday, 02-Jan-06 15:04:05 MST',
    RFC1123: 'Mon, 02 Jan 2006 15:04:05 MST',
    RFC1123Z: 'Mon, 02 Jan 2006 15:04:05 -0700',
    RFC3339: '2006-01-02T15:04:05Z07:00',
    RFC3339Nano: '2006-01-02T15:04:05.999999999Z07:00',
    Kitchen: '3:04PM',
    DateTime: '2006-01-02 15:04:05',
    DateOnly: '2006-01-02',
    TimeOnly: '15:04:05',
  }),
)

interface Wall {
  year: number
  month: number
  day: number
  weekday: number
  hour: number
  minute: number
  second: number
  ms: number
  /** Minutes east of UTC. */
  offset: number
  zone: string
}

/** A moment by a layout of Go's, as clocks in a time zone show it. */
export function formatDate(at: Date, layout: string, zone: string): string {
  const wall = wallOf(at, zone)
  const yearDay = Math.floor((Date.UTC(wall.year, wall.month, wall.day) - Date.UTC(wall.year, 0, 1)) / 86_400_000) + 1
  return (LAYOUTS.get(layout) ?? layout).replace(ELEMENT, (element) => {
    switch (element) {
      case 'January':
        return MONTHS[wall.month] as string
      case 'Jan':
        return (MONTHS[wall.month] as string).slice(0, 3)
      case 'Monday':
        return DAYS[wall.weekday] as string
      case 'Mon':
        return (DAYS[wall.weekday] as string).slice(0, 3)
      case 'MST':
        return wall.zone
      case '2006':
        return String(wall.year).padStart(4, '0')
      case '06':
        return two(wall.year % 100)
      case '01':
        return two(wall.month + 1)
      case '1':
        return String(wall.month + 1)
      case '02':
        return two(wall.day)
      case '_2':
        return String(wall.day).padStart(2)
      case '2':
        return String(wall.day)
      case '002':
        return String(yearDay).padStart(3, '0')
      case '15':
        return two(wall.hour)
      case '03':
        return two(wall.hour % 12 || 12)
      case '3':
        return String(wall.hour % 12 || 12)
      case '04':
        return two(wall.minute)
      case '4':
        return String(wall.minute)
      case '05':
        return two(wall.second)
      case '5':
        return String(wall.second)
      case 'PM':
        return wall.hour < 12 ? 'AM' : 'PM'
      case 'pm':
        return wall.hour < 12 ? 'am' : 'pm'
      case 'Z07:00':
        return wall.offset === 0 ? 'Z' : offset(wall.offset, ':')
      case 'Z0700':
        return wall.offset === 0 ? 'Z' : offset(wall.offset, '')
      case '-07:00':
        return offset(wall.offset, ':')
      case '-0700':
        return offset(wall.offset, '')
      case '-07':
        return offset(wall.offset, ':').slice(0, 3)
      default:
        return fraction(element, wall.ms)
    }
  })
}

function two(number: number): string {
  return String(number).padStart(2, '0')
}

function offset(minutes: number, between: string): string {
  const size = Math.abs(minutes)
  return `${minutes < 0 ? '-' : '+'}${two(Math.floor(size / 60))}${between}${two(size % 60)}`
}

/** `.000` has so many digits, `.999` only those that matter. */
function fraction(element: string, ms: number): string {
  const digits = `${String(ms).padStart(3, '0')}000000000`.slice(0, element.length - 1)
  if (element[1] === '0') return `${element[0]}${digits}`
  const kept = digits.replace(/0+$/, '')
  return kept === '' ? '' : `${element[0]}${kept}`
}

const clocks = new Map<string, Intl.DateTimeFormat>()
const MOST_CLOCKS = 600

function wallOf(at: Date, zone: string): Wall {
  const parts = Object.fromEntries(
    clock(zone)
      .formatToParts(at)
      .map(({ type, value }) => [type, value]),
  )
  const [year, month, day] = [Number(parts.year), Number(parts.month) - 1, Number(parts.day)]
  const [hour, minute, second] = [Number(parts.hour), Number(parts.minute), Number(parts.second)]
  const shown = new Date(0)
  shown.setUTCFullYear(year, month, day)
  shown.setUTCHours(hour, minute, second)
  return {
    ...{ year, month, day, hour, minute, second },
    weekday: shown.getUTCDay(),
    ms: at.getUTCMilliseconds(),
    offset: Math.round((shown.getTime() - Math.floor(at.getTime() / 1000) * 1000) / 60_000),
    zone: parts.timeZoneName ?? 'UTC',
  }
}

function clock(zone: string): Intl.DateTimeFormat {
  let found = clocks.get(zone)
  if (found) return found
  try {
    found = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
      second: '2-digit',
      timeZoneName: 'short',
    })
  } catch {
    throw new Fault('there is no such time zone')
  }
  if (clocks.size >= MOST_CLOCKS) clocks.clear()
  clocks.set(zone, found)
  return found
}

/** Reads what a layout describes; without a zone in it, as UTC. Undefined where the text is not of that form. */
export function parseDate(text: string, layout: string): Date | undefined {
  const elements: string[] = []
  const written = LAYOUTS.get(layout) ?? layout
  const source = written.split(ELEMENT).map((part) => part.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'))
  const found = written.match(ELEMENT) ?? []
  const pattern = source.reduce((sum, part, index) => {
    const element = found[index - 1] as string
    elements.push(element)
    return `${sum}(${READERS[element] ?? FRACTION})${part}`
  })
  const values = new RegExp(`^${pattern}$`).exec(text)
  return values ? momentOf(elements, values.slice(1)) : undefined
}

const ONE_OR_TWO = '\\d{1,2}'
const FRACTION = '(?:[.,]\\d{1,9})?'
const READERS: Readonly<Record<string, string>> = {
  January: MONTHS.join('|'),
  Jan: MONTHS.map((name) => name.slice(0, 3)).join('|'),
  Monday: DAYS.join('|'),
  Mon: DAYS.map((name) => name.slice(0, 3)).join('|'),
  MST: 'UTC|GMT|Z',
  '2006': '\\d{4}',
  '06': '\\d{2}',
  '01': '\\d{2}',
  '02': '\\d{2}',
  '03': '\\d{2}',
  '04': '\\d{2}',
  '05': '\\d{2}',
  '15': '\\d{2}',
  '002': '\\d{3}',
  _2: ' ?\\d{1,2}',
  '1': ONE_OR_TWO,
  '2': ONE_OR_TWO,
  '3': ONE_OR_TWO,
  '4': ONE_OR_TWO,
  '5': ONE_OR_TWO,
  PM: 'AM|PM',
  pm: 'am|pm',
  'Z07:00': 'Z|[+-]\\d{2}:\\d{2}',
  Z0700: 'Z|[+-]\\d{4}',
  '-07:00': '[+-]\\d{2}:\\d{2}',
  '-0700': '[+-]\\d{4}',
  '-07': '[+-]\\d{2}',
}

function momentOf(elements: readonly string[], values: readonly string[]): Date | undefined {
  let [year, month, day, hour, minute, second, ms, east] = [0, 0, 1, 0, 0, 0, 0, 0]
  let afternoon: boolean | undefined
  for (const [index, element] of elements.entries()) {
    const value = values[index] ?? ''
    const number = Number(value)
    if (element === '2006') year = number
    else if (element === '06') year = number + (number < 69 ? 2000 : 1900)
    else if (element === '01' || element === '1') month = number - 1
    else if (element === 'January' || element === 'Jan') month = MONTHS.findIndex((name) => name.startsWith(value))
    else if (element === '02' || element === '2' || element === '_2') day = number
    else if (element === '002') [month, day] = [0, number]
    else if (element === '15' || element === '03' || element === '3') hour = number
    else if (element === '04' || element === '4') minute = number
    else if (element === '05' || element === '5') second = number
    else if (element === 'PM' || element === 'pm') afternoon = value.toUpperCase() === 'PM'
    else if (/07/.test(element)) east = value === 'Z' ? 0 : minutesEast(value)
    else if (/^[.,]/.test(element)) ms = Math.floor(Number(`0.${value.slice(1) || '0'}`) * 1000)
  }
  if (afternoon !== undefined) hour = (hour % 12) + (afternoon ? 12 : 0)
  const isDay = !elements.includes('002')
  const at = new Date(0)
  at.setUTCFullYear(year, month, day)
  at.setUTCHours(hour, minute, second, ms)
  const holds =
    (!isDay || (at.getUTCMonth() === month && at.getUTCDate() === day)) && hour < 24 && minute < 60 && second < 60
  return holds ? new Date(at.getTime() - east * 60_000) : undefined
}

function minutesEast(value: string): number {
  const digits = value.replace(/\D/g, '')
  const minutes = Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2) || 0)
  return value.startsWith('-') ? -minutes : minutes
}
