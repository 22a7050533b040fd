/** The examples of flwd's reference, word for word. */

export const artifactList = {
  artifacts: [
    {
      id: 'artifact_01HX...',
      run_id: 'run_01HX...',
      name: 'backup-archive',
      path: '/workspace/backup.tar.gz',
      media_type: 'application/gzip',
      size_bytes: 12345678,
      created_at: '2024-01-15T10:35:00Z',
    },
  ],
}
