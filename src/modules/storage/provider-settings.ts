/** The documented types of providers; `minio` stands for every service that speaks S3's protocol, `s3` for Amazon's. */
export const PROVIDER_TYPES = ['minio', 's3', 'azure-blob', 'gcs'] as const

export type ProviderType = (typeof PROVIDER_TYPES)[number]

export interface AccessKeys {
  accessKey: string
  secretKey: string
  sessionToken?: string
}

export interface AzureKeys {
  accountName: string
  /** Base64. */
  accountKey: string
}

export interface GoogleKeys {
  projectId: string
  clientEmail: string
  /** PEM. */
  privateKey: string
}

/** What a driver needs to know, checked and complete. */
export type ProviderSettings = {
  /** Scheme, host and port; of Azure and of gateways of S3 with the path that they are at. */
  endpoint: URL
  /** Where new buckets are made. */
  region?: string
} & (
  | { type: 'minio' | 's3'; credentials: AccessKeys }
  | { type: 'azure-blob'; credentials: AzureKeys }
  | { type: 'gcs'; credentials: GoogleKeys }
)

export type SettingsOf<Type extends ProviderType> = Extract<ProviderSettings, { type: Type }>
