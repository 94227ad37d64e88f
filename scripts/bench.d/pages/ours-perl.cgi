#!/usr/bin/env -S cgisession run --data perl
use strict;
use warnings;
use JSON::PP;

my $data = decode_json($ENV{CGISESSION_DATA});
chomp(my $visits = `cgisession incr visits`);
print "Content-Type: text/plain\n\nHello $data->{name}, visit $visits.\n";
