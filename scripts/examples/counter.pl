#!/usr/bin/perl
# Counts your visits, in Perl.
use strict;
use warnings;
use JSON::PP;

# Runs cgisession and returns what it prints. With a list, open starts no shell,
# so nothing needs quoting, whatever it holds.
sub cgisession {
    open my $pipe, '-|', 'cgisession', @_ or die "cgisession: $!\n";
    my $output = do { local $/; <$pipe> };
    close $pipe or die "cgisession $_[0] failed\n";
    return $output;
}

my $session = decode_json(cgisession('load', '--json'));
print "$_\n" for @{ $session->{headers} };

# From here on every call means this session, also on a first visit, when the
# browser has sent no cookie yet.
@ENV{keys %{ $session->{env} }} = values %{ $session->{env} };

chomp(my $visits = cgisession('incr', 'visits'));

print <<"END";
Content-Type: text/html; charset=utf-8

<!DOCTYPE html>
<html lang="en">
<title>Counter</title>
<p>Visit $visits.</p>
END
