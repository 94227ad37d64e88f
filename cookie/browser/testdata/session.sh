#!/bin/sh
# Does with the session what the last part of the URL's path says, and tells how
# it went.
case $PATH_INFO in
*/load) set -- load ;;
*/lazy) set -- load --lazy ;;
*/renew) set -- regenerate ;;
*/logout) set -- invalidate --expire ;;
esac

code=0
eval "$(cgisession "$@" --sh || echo "code=$?")"
printf 'Content-Type: text/plain\nCache-Control: no-store\n\n'
printf 'exit %s' "$code"
if [ "$*" = load ] && [ "$code" = 0 ]; then
	printf ', visit %s' "$(cgisession incr visits)"
fi
