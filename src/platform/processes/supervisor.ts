/** `prctl` of the machines that are known. */
const PRCTL: Partial<Record<NodeJS.Architecture, number>> = { x64: 157, arm64: 167 }

/**
 * Becomes the parent of whoever below it loses its own (`PR_SET_CHILD_SUBREAPER`), starts the program, and ends as that did. Until then all
 * that the program starts is below it, whatever sessions it opens and whatever it hides; what is left when the program ends is stopped, so
 * that it starts no others, and killed. Nothing but KILL ends it before. In Perl, which Debian always has: Node and shells have no `prctl`.
 */
const SUPERVISE = `
use strict;
my $call = shift;
exit 125 if syscall($call, 36, 1, 0, 0, 0) != 0;
my @deaf = qw(HUP INT QUIT TERM PIPE USR1 USR2 ALRM XCPU);
$SIG{$_} = 'IGNORE' for @deaf;
my $program = fork;
exit 125 if !defined $program;
if ($program == 0) {
  $SIG{$_} = 'DEFAULT' for @deaf;
  exec { $ARGV[0] } @ARGV;
  exit 127;
}
sub below {
  my ($pid) = @_;
  my @found;
  for my $file (glob "/proc/$pid/task/*/children") {
    open my $list, '<', $file or next;
    my $line = <$list>;
    push @found, map { ($_, below($_)) } split ' ', $line // '';
  }
  return @found;
}
my $status = 0;
while ((my $pid = wait) != -1) {
  next if $pid != $program;
  $status = $?;
  last;
}
for my $round (1 .. 1000) {
  my (%stopped, @new);
  while (@new = grep { !$stopped{$_}++ } below($$)) { kill 'STOP', @new }
  last if !%stopped;
  kill 'KILL', keys %stopped;
  while (waitpid(-1, 1) > 0) {}
  select undef, undef, undef, 0.005;
}
my $signal = $status & 127;
exit $status >> 8 if !$signal;
require Config;
$SIG{(split ' ', $Config::Config{sig_name})[$signal]} = 'DEFAULT' if $signal != 9 && $signal != 19;
kill $signal, $$;
exit 128 + $signal;
`

/** Undefined where the machine is not known. */
export function supervised(argv: readonly string[], architecture = process.arch): string[] | undefined {
  const call = PRCTL[architecture]
  return call === undefined ? undefined : ['perl', '-e', SUPERVISE, `${call}`, ...argv]
}
