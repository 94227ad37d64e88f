#!/usr/bin/env -S cgisession run sh
# Keeps a list of what you write.

# What a client can add to needs a limit, or the session and each page grow without
# end.
most=20

# "cgisession run" in the first line has loaded the session, printed its header
# lines and exported it, before this script began. Where env has no -S, as in busybox,
# name the program itself there: #!/usr/local/bin/cgisession run sh
. ./form.sh

refuse() {
	printf 'Status: 400 Bad Request\nContent-Type: text/plain\n\nThis text cannot be kept.\n'
	exit
}

if [ "$REQUEST_METHOD" = POST ]; then
	read_form
	text=$(field text)
	[ "${#text}" -le 2000 ] || refuse # the browser's maxlength binds no other client
	if [ -n "$text" ]; then
		# append prints the new length. Two entries at once both stay, and each
		# that is one too many removes the oldest. After --text nothing is an option.
		length=$(cgisession append --text -- entries "$text") || refuse
		[ "$length" -le "$most" ] || cgisession unset /entries/0
	fi
	printf 'Status: 303 See Other\nLocation: guestbook.sh\n\n'
	exit
fi

page 'Guest book'
echo '<ol>'
# All entries by one call. Each ends with a NUL, so that one of several lines stays
# one entry; one that is absent is empty.
set --
i=0
while [ "$i" -lt "$most" ]; do
	set -- "$@" "/entries/$i"
	i=$((i + 1))
done
cgisession get --nul -- "$@" | tr '\n\000' ' \n' | escape | sed '/^$/d; s/.*/<li>&<\/li>/'
cat <<END
</ol>
<form method="post" action="guestbook.sh">
<p><label>Text <input name="text" maxlength="500" autofocus></label></p>
<button>Write</button>
</form>
<p>Only you can see this: a session belongs to one browser.</p>
END
