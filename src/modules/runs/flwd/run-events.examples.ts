/** flwd's documented event, as its reference shows it, with the members that the reference leaves to the type of event. */
export const runEvent = {
  run_id: 'run_01HX3YB1V7Q8G4Z9T5W2K6M0NP',
  job_id: 'backup/daily',
  timestamp: '2024-01-15T10:30:01Z',
  level: 'info',
  message: 'Processing...',
}
