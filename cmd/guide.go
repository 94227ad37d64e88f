package cmd

// This file has what the help says of a verb besides its usage and its own options.

// A guide is what the help says of one verb.
type guide struct {
	uses    group  // the common options that it uses; the others are accepted too
	no      string // what exit code 1 means; "" if it never is one
	codes   []int  // the other exit codes that matter for it
	example string // a command for the shell
}

// A group is a set of common options.
type group int

const (
	groupStore   group = 1 << iota // where the sessions are
	groupRedis                     // on which server
	groupLimits                    // which sessions are over
	groupCorrupt                   // what becomes of a corrupt one
	groupWait                      // how long to wait for it
	groupSave                      // how it is saved
	groupName                      // the cookie's name
	groupRequest                   // how else a request names its session
	groupCookie                    // the cookie's attributes
	groupPage                      // the page's header lines besides the cookie's
	groupOwn     group = 0         // an option of the verb itself
)

// The groups that verbs use.
const (
	forOperators = groupStore | groupRedis | groupLimits | groupName
	forReading   = forOperators | groupCorrupt | groupWait | groupRequest
	forChanges   = forReading | groupSave
	forHeaders   = forChanges | groupCookie
	forPages     = forHeaders | groupPage
)

// groupOf returns the group of an option.
func groupOf(option string) group {
	switch option {
	case "config", "site", "data-dir", "type", "log-file":
		return groupStore
	case "redis-url", "redis-password-file", "redis-ca-file", "redis-prefix":
		return groupRedis
	case "timeout", "lifetime", "max-size":
		return groupLimits
	case "invalidate-corrupt":
		return groupCorrupt
	case "lock-timeout":
		return groupWait
	case "durable":
		return groupSave
	case "cookie-name":
		return groupName
	case "id", "id-fd", "adopt-id", "use-cookies", "secret-file":
		return groupRequest
	case "cookie-expires", "cookie-path", "cookie-domain", "cookie-secure", "cookie-http-only", "cookie-same-site",
		"cookie-partitioned":
		return groupCookie
	case "cache-control":
		return groupPage
	}
	return groupOwn
}

// codeTexts returns what the exit codes mean.
func codeTexts() map[int]string {
	return map[int]string{
		exitOK:            "done",
		exitNo:            "no: absent key, no session to read, check or filter failed",
		exitGone:          "the session is gone: it ended, or got a new id, during this request",
		exitConflict:      "--if-version: another version is stored",
		exitUsage:         "bad flag, argument, variable or descriptor",
		exitData:          "bad JSON, data over --max-size, or a corrupt session",
		exitUnavailable:   "the store cannot do it, or cannot be reached",
		exitInternal:      "internal error",
		exitIO:            "input or output failed",
		exitLocked:        "the session was locked for longer than --lock-timeout",
		exitUnsafe:        "unsafe path, or no permission",
		exitConfig:        "configuration or key file",
		exitNotExecutable: "COMMAND cannot be executed",
		exitNotFound:      "COMMAND is not found",
	}
}

// guides returns the guide of each verb.
func guides() map[string]guide {
	const noSession = "there is no session"
	const notThere = "--if-exists: " + noSession
	const noKey = "KEY is absent, or " + noSession
	reading := []int{exitData, exitLocked}
	changing := []int{exitGone, exitData, exitLocked}
	filtering := []int{exitGone, exitData, exitLocked, exitNotExecutable, exitNotFound}
	operating := []int{exitIO, exitUnsafe, exitConfig}
	return map[string]guide{
		"load": {forPages, "", []int{exitData, exitLocked, exitUnsafe, exitConfig},
			`eval "$(cgisession load --sh name || echo exit 1)"`},
		"get":   {forReading, noKey, reading, `name=$(cgisession get --raw --default-text '' name)`},
		"set":   {forHeaders, notThere, changing, `cgisession set name="$name" cart:='[]'`},
		"unset": {forHeaders, notThere, changing, `cgisession unset name cart`},
		"pop": {forChanges, noKey, changing,
			`cgisession set flash="Saved." && message=$(cgisession pop --raw flash)`},
		"incr":   {forChanges, noSession, changing, `visits=$(cgisession incr visits)`},
		"append": {forChanges, noSession, changing, `cgisession append cart '{"item": 7, "number": 2}'`},
		"edit": {forChanges, "COMMAND failed or printed no JSON object, or " + noSession, filtering,
			`cgisession edit jq '.cart += ["book"]'`},
		"save": {forHeaders, notThere, append(changing, exitConflict),
			`echo '{"name": "Ann"}' | cgisession save`},
		"delete":     {forHeaders, notThere, []int{exitGone, exitLocked}, `cgisession delete`},
		"invalidate": {forHeaders, "", []int{exitGone, exitLocked}, `cgisession invalidate --expire`},
		"regenerate": {forHeaders, notThere, []int{exitGone, exitUnavailable, exitLocked},
			`cgisession regenerate --user ann`},
		"info":   {forReading, noSession, reading, `cgisession info`},
		"cookie": {forReading | groupCookie, noSession, reading, `cgisession cookie`},
		"lock": {forReading, noSession + "; once COMMAND runs, its own code counts", filtering,
			"cgisession lock sh -c '\n    n=$(cgisession get n --default 0); cgisession set n:=$((n * 2))'"},
		"unlock": {groupStore | groupName | groupRequest, "", []int{exitUsage},
			"p=$(cgisession lock-path) && exec 9<\"$p\" && cgisession lock --fd 9\ncgisession unlock --fd 9"},
		"lock-path": {forReading, noSession, []int{exitGone}, `p=$(cgisession lock-path) && exec 9<"$p"`},
		"run": {forPages, "COMMAND's own code, as any other once it runs", filtering,
			`cgisession run --env APP_ sh -c 'echo "Hello $APP_name"'`},
		"csrf": {forReading, "TOKEN is not from a form of this session, or " + noSession, []int{exitLocked},
			"token=$(cgisession csrf)\nprintf %s \"$token\" | cgisession csrf --check-fd 0"},
		"cleanup": {forOperators, "", operating, `cgisession cleanup --timeout 30m`},
		"list":    {forOperators, "", operating, `cgisession list --user ann`},
		"show": {forOperators, "there is no such session", []int{exitUnsafe},
			`cgisession show --data -- "$(cgisession list | head -n 1 | cut -c 1-16)"`},
		"destroy": {forReading, "no such session, or it is another user's; --except-current: " + noSession,
			[]int{exitLocked, exitUnsafe}, `cgisession destroy --user ann`},
		"stats":  {forOperators, "", operating, `cgisession stats --prometheus`},
		"doctor": {forHeaders, "there is a problem", []int{exitIO}, `cgisession doctor --deep`},
		"config": {forPages, "", []int{exitUsage, exitConfig}, `cgisession config | grep -v ' default$'`},
		"completion": {0, "", []int{exitUsage, exitIO},
			`cgisession completion bash >/usr/share/bash-completion/completions/cgisession`},
		"secret":  {0, "", []int{exitIO}, `(umask 077 && cgisession secret >cgisession.key)`},
		"help":    {0, "", []int{exitUsage}, `cgisession help set`},
		"version": {0, "", []int{exitIO}, `cgisession version`},
	}
}
