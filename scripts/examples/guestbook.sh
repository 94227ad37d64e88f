#!/usr/bin/env -S cgisession run sh
# Keeps a list of what you write.

# "cgisession run" in the first line has loaded the session, printed its
# Set-Cookie line and exported it, before this script began.
. ./form.sh

if [ "$REQUEST_METHOD" = POST ]; then
	read_form
	text=$(field text)
	# append prints the new length. Two entries at once both stay. What comes after
	# "--" is no option, whatever it begins with.
	if [ -n "$text" ] && ! cgisession append --text entries -- "$text" >/dev/null; then
		printf 'Status: 400 Bad Request\nContent-Type: text/plain\n\nThis text cannot be kept.\n'
		exit
	fi
	printf 'Status: 303 See Other\nLocation: guestbook.sh\n\n'
	exit
fi

page 'Guest book'
echo '<ol>'
# Each entry by its place in the list, up to the first that is not there.
i=0
while entry=$(cgisession get --raw "/entries/$i"); do
	echo "<li>$(html "$entry")</li>"
	i=$((i + 1))
done
cat <<END
</ol>
<form method="post" action="guestbook.sh">
<p><label>Text <input name="text" maxlength="500" autofocus></label></p>
<button>Write</button>
</form>
<p>Only you can see this: a session belongs to one browser.</p>
END
