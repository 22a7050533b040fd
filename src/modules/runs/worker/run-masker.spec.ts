import { expect, it } from 'vitest'
import { SecretMasker } from '../../../platform/masking/secret-masker.js'
import { RunMasker } from './run-masker.js'

it('hides what it has learned beside what it knew, and leaves the kept masker as it is', () => {
  const kept = { values: ['hunter22'], masker: new SecretMasker(['hunter22']) }
  const masker = new RunMasker(kept)
  expect(masker.mask(['hunter22', 'sesame'])).toEqual(['***', 'sesame'])
  masker.learn(['hunter22'])
  masker.learn(['sesame', 'hunter23'])
  expect(masker.mask(['hunter22', 'sesame', 'hunter23', 'open'])).toEqual(['***', '***', '***', 'open'])
  expect(kept.masker.mask('sesame')).toBe('sesame')
})
