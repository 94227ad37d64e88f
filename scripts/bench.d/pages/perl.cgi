#!/usr/bin/perl
# The race's tasks with CGI::Session, used as its documentation has it.
use strict;
use warnings;
use CGI;
use CGI::Session;

my $task    = $ENV{QUERY_STRING};
my $session = CGI::Session->new('driver:File', CGI->new, { Directory => $ENV{BENCH_DIR} }) or die CGI::Session->errstr;

if ($task eq 'init') {
    require JSON::PP;
    open my $file, '<', $ENV{BENCH_DATA} or die "$ENV{BENCH_DATA}: $!\n";
    my $data = JSON::PP::decode_json(do { local $/; <$file> });
    $session->param($_, $data->{$_}) for keys %$data;
    $session->flush;
    print $session->header;
}
elsif ($task eq 'first') {
    $session->flush;
    print $session->header;
}
elsif ($task eq 'get') {
    print $session->param('name'), "\n";
}
else {
    $session->param('visits', $session->param('visits') + 1);
    $session->flush;
    my $visits = $session->param('visits');
    print $task eq 'page' ? $session->header(-type => 'text/plain') . 'Hello ' . $session->param('name') . ", visit $visits.\n" : "$visits\n";
}
