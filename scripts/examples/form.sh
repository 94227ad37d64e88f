# shellcheck shell=sh
# What the shell examples share: forms in, HTML out. They read it with
# ". ./form.sh": a CGI script runs in its own directory.

# read_form reads the body of a POST into $form, 10000 bytes of it at most.
read_form() {
	form=$(head -c "${CONTENT_LENGTH:-0}" | head -c 10000)
}

# field NAME prints the value of a field of the form, without its NULs.
field() {
	printf '%s\n' "$form" | tr '&' '\n' | LC_ALL=C awk -v name="$1" '
		BEGIN { for (i = 1; i < 256; i++) char[sprintf("%02X", i)] = sprintf("%c", i) }
		index($0, name "=") == 1 {
			text = substr($0, length(name) + 2)
			gsub(/[+]/, " ", text)
			while (match(text, /%[0-9A-Fa-f][0-9A-Fa-f]/)) {
				printf "%s%s", substr(text, 1, RSTART - 1), char[toupper(substr(text, RSTART + 1, 2))]
				text = substr(text, RSTART + 3)
			}
			print text
			exit
		}'
}

# html TEXT prints any text so that it is text in HTML too, also inside quotes.
html() {
	printf '%s\n' "$1" | escape
}

# escape is html for standard input.
escape() {
	sed "s/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g; s/\"/\&quot;/g; s/'/\&#39;/g"
}

# page TITLE ends the header lines and begins the page.
page() {
	cat <<END
Content-Type: text/html; charset=utf-8

<!DOCTYPE html>
<html lang="en">
<meta name="viewport" content="width=device-width">
<title>$1</title>
<h1>$1</h1>
END
}
