import { createPrivateKey } from 'node:crypto'
import type { Fault } from '../../../platform/errors/domain-error.js'
import type { AccessKeys, AzureKeys, GoogleKeys, ProviderType } from '../provider-settings.js'

/** Credentials as they are given: those of every type. */
export interface CredentialsInput {
  accessKey?: string
  secretKey?: string
  sessionToken?: string
  accountName?: string
  accountKey?: string
  connectionString?: string
  projectId?: string
  keyJson?: string | object
}

export interface ReadCredentials {
  credentials: AccessKeys | AzureKeys | GoogleKeys
  /** Where the service is, as far as they say. */
  endpoint?: URL
}

const MEMBERS: Readonly<Record<ProviderType, readonly (keyof CredentialsInput)[]>> = {
  minio: ['accessKey', 'secretKey', 'sessionToken'],
  s3: ['accessKey', 'secretKey', 'sessionToken'],
  'azure-blob': ['accountName', 'accountKey', 'connectionString'],
  gcs: ['projectId', 'keyJson'],
}

/** Checks credentials by the type of their provider. Faults never repeat a value. */
export function readCredentials(
  type: ProviderType,
  given: CredentialsInput | undefined,
  faults: Fault[],
): ReadCredentials | undefined {
  if (!given) {
    faults.push({ pointer: '#/credentials', detail: 'Credentials is required', code: 'required' })
    return undefined
  }
  const before = faults.length
  for (const member of namesOf(given))
    if (!MEMBERS[type].includes(member as keyof CredentialsInput))
      faults.push(fault(member, `is not for providers of the type ${type}`, 'excluded'))
  const read =
    type === 'gcs' ? google(given, faults) : type === 'azure-blob' ? azure(given, faults) : keys(given, faults)
  return faults.length === before ? read : undefined
}

/** Which of them are set. */
export function namesOf(given: CredentialsInput): string[] {
  return Object.entries(given).flatMap(([name, value]) => (value === undefined || value === null ? [] : [name]))
}

function keys(given: CredentialsInput, faults: Fault[]): ReadCredentials | undefined {
  const { accessKey, secretKey, sessionToken } = given
  for (const member of ['accessKey', 'secretKey'] as const) if (!given[member]) faults.push(required(member))
  for (const member of ['accessKey', 'sessionToken'] as const)
    if (!/^[\x21-\x7e]*$/.test(given[member] ?? '')) faults.push(fault(member, 'must be visible ASCII characters'))
  if (!accessKey || !secretKey) return undefined
  return { credentials: { accessKey, secretKey, ...(sessionToken && { sessionToken }) } }
}

/** By account and key, or by a connection string that holds both. */
function azure(given: CredentialsInput, faults: Fault[]): ReadCredentials | undefined {
  if (given.connectionString !== undefined) {
    for (const member of ['accountName', 'accountKey'] as const)
      if (given[member] !== undefined) faults.push(fault(member, 'cannot stand beside a connection string', 'excluded'))
    return connectionString(given.connectionString, faults)
  }
  for (const member of ['accountName', 'accountKey'] as const) if (!given[member]) faults.push(required(member))
  const { accountName, accountKey } = given
  if (!accountName || !accountKey) return undefined
  if (!isAccountName(accountName)) faults.push(fault('accountName', 'must be 3 to 24 small letters and digits'))
  if (!isBase64(accountKey)) faults.push(fault('accountKey', 'must be base64'))
  return { credentials: { accountName, accountKey } }
}

function connectionString(text: string, faults: Fault[]): ReadCredentials | undefined {
  const parts = Object.fromEntries(
    text
      .split(';')
      .filter((part) => part.trim() !== '')
      .map((part) => [part.slice(0, part.indexOf('=')).trim(), part.slice(part.indexOf('=') + 1).trim()]),
  )
  const { AccountName: accountName = '', AccountKey: accountKey = '', BlobEndpoint, EndpointSuffix } = parts
  if (!isAccountName(accountName) || !isBase64(accountKey)) {
    faults.push(fault('connectionString', 'must hold AccountName and AccountKey'))
    return undefined
  }
  const scheme = parts.DefaultEndpointsProtocol === 'http' ? 'http' : 'https'
  const endpoint = URL.parse(BlobEndpoint ?? `${scheme}://${accountName}.blob.${EndpointSuffix ?? 'core.windows.net'}`)
  if (!endpoint || !/^https?:$/.test(endpoint.protocol) || endpoint.search !== '' || endpoint.username !== '') {
    faults.push(fault('connectionString', 'must hold an endpoint that is an http or https URL'))
    return undefined
  }
  return { credentials: { accountName, accountKey }, endpoint }
}

/** The key of a service account, as Google gives it out. */
function google(given: CredentialsInput, faults: Fault[]): ReadCredentials | undefined {
  if (given.keyJson === undefined) {
    faults.push(required('keyJson'))
    return undefined
  }
  const key = parsed(given.keyJson)
  const { client_email: clientEmail, private_key: privateKey } = key
  const projectId = given.projectId ?? key.project_id
  if (key.type !== 'service_account' || typeof clientEmail !== 'string' || typeof privateKey !== 'string') {
    faults.push(fault('keyJson', 'must be the JSON key of a service account'))
    return undefined
  }
  if (!isPrivateKey(privateKey)) faults.push(fault('keyJson', 'holds a private_key that cannot be read'))
  if (typeof projectId !== 'string' || !/^[a-z0-9.:-]{1,100}$/.test(projectId)) {
    faults.push(fault('projectId', 'must be the id of a project, here or in the key'))
    return undefined
  }
  return { credentials: { projectId, clientEmail, privateKey } }
}

function parsed(keyJson: string | object): Record<string, unknown> {
  try {
    const value: unknown = typeof keyJson === 'string' ? JSON.parse(keyJson) : keyJson
    return value !== null && typeof value === 'object' ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

function isPrivateKey(pem: string): boolean {
  try {
    return createPrivateKey(pem).asymmetricKeyType === 'rsa'
  } catch {
    return false
  }
}

function isAccountName(text: string): boolean {
  return /^[a-z0-9]{3,24}$/.test(text)
}

function isBase64(text: string): boolean {
  return text !== '' && /^[A-Za-z0-9+/]+={0,2}$/.test(text) && text.length % 4 === 0
}

function required(member: keyof CredentialsInput): Fault {
  return fault(member, 'is required', 'required')
}

function fault(member: string, what: string, code = 'credentials'): Fault {
  const words = member.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
  return {
    pointer: `#/credentials/${member}`,
    detail: `${words.charAt(0).toUpperCase()}${words.slice(1)} ${what}`,
    code,
  }
}
