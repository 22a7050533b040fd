import { tagsIn } from '../object-tags.js'
import { auditedObject, objectOf, type S3Answer, type S3Call, xmlOf } from '../s3-call.js'

export async function getObjectTagging(call: S3Call): Promise<S3Answer> {
  const { bucket, key } = objectOf(call)
  const { tags } = await call.store.headObject(bucket, key)
  const Tag = Object.entries(tags).map(([Key, Value]) => ({ Key, Value }))
  return { xml: { root: 'Tagging', content: { TagSet: Tag.length > 0 ? { Tag } : '' } } }
}

export async function putObjectTagging(call: S3Call): Promise<S3Answer> {
  const { bucket, key } = objectOf(call)
  const tags = tagsIn(await xmlOf(call, 'Tagging'))
  await call.store.tagObject(bucket, key, tags, { within: auditedObject(call, 'object.tag', { bucket, key }) })
  return {}
}

export async function deleteObjectTagging(call: S3Call): Promise<S3Answer> {
  const { bucket, key } = objectOf(call)
  await call.store.tagObject(bucket, key, {}, { within: auditedObject(call, 'object.tag', { bucket, key }) })
  return { status: 204 }
}
