#!/usr/bin/env -S cgisession run --data perl
# Keeps a shopping cart, in Perl.
use strict;
use warnings;
use JSON::PP;

my %price = (bread => 350, coffee => 790, tea => 420);    # in cents

# Runs cgisession without a shell, and says whether it went well.
sub cgisession {
    open my $pipe, '-|', 'cgisession', @_ or return;
    my @output = <$pipe>;
    return close $pipe;
}

# Reads the fields of a posted form, as bytes.
sub form {
    read STDIN, my $body, $ENV{CONTENT_LENGTH} > 10_000 ? 10_000 : $ENV{CONTENT_LENGTH};
    my %field;
    for (split /&/, $body) {
        my ($name, $value) = map { tr/+/ /; s/%([0-9A-Fa-f]{2})/chr hex $1/ger } split /=/, $_, 2;
        $field{$name} = $value;
    }
    return \%field;
}

# Makes one change to the session. Each is a call that reads, changes and stores
# under a lock, so two tabs never undo each other's changes; storing the cart
# that this script was given would.
sub change {
    my ($field) = @_;
    my $item = $field->{add} // '';
    return cgisession('incr', "/cart/$item") if exists $price{$item};
    return cgisession('unset', 'cart', 'note') if $field->{empty};
    return cgisession('set', "note=$field->{note}") if defined $field->{note};
    return;
}

sub html {
    my ($text) = @_;
    $text =~ s/([&<>"'])/'&#' . ord($1) . ';'/ge;
    return $text;
}

if ($ENV{REQUEST_METHOD} eq 'POST') {
    print change(form())
        ? "Status: 303 See Other\nLocation: cart.pl\n\n"
        : "Status: 400 Bad Request\nContent-Type: text/plain\n\nThis cannot be kept.\n";
    exit;
}

# The session's data as this request found it.
my $data = decode_json($ENV{CGISESSION_DATA});
my $cart = $data->{cart} // {};
my $note = html($data->{note} // '');

binmode STDOUT, ':encoding(UTF-8)';
print <<"END";
Content-Type: text/html; charset=utf-8

<!DOCTYPE html>
<html lang="en">
<meta name="viewport" content="width=device-width">
<title>Cart</title>
<h1>Cart</h1>
<form method="post" action="cart.pl">
<table>
END

my $total = 0;
for my $item (sort keys %price) {
    my $count = $cart->{$item} // 0;
    $total += $count * $price{$item};
    printf "<tr><td>%s<td>%.2f<td>%d<td><button name=\"add\" value=\"%s\">Add</button>\n", $item, $price{$item} / 100, $count, $item;
}
printf "</table>\n<p>Total: %.2f</p>\n", $total / 100;

print <<"END";
<button name="empty" value="1">Empty the cart</button>
</form>
<form method="post" action="cart.pl">
<p><label>Note to the shop <input name="note" value="$note"></label></p>
<button>Keep the note</button>
</form>
END
