package cmd

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// The exit codes. Those from 64 to 78 are from sysexits.h.
const (
	exitOK          = 0
	exitNo          = 1  // absent key, no session to read, check failed
	exitGone        = 10 // the session ended during this request, or a log-in or --new-id used an id in its grace
	exitConflict    = 11 // --if-version: another version is stored
	exitUsage       = 64 // EX_USAGE: bad flag, argument, variable or line of the configuration file
	exitData        = 65 // EX_DATAERR: bad JSON, too much data, corrupt file
	exitUnavailable = 69 // EX_UNAVAILABLE: the store cannot do it, or cannot be reached
	exitInternal    = 70 // EX_SOFTWARE: a bug
	exitIO          = 74 // EX_IOERR: also a full or broken stdout
	exitLocked      = 75 // EX_TEMPFAIL: lock timeout, or lock lost
	exitUnsafe      = 77 // EX_NOPERM: unsafe path or no permission
	exitConfig      = 78 // EX_CONFIG: configuration or key file

	exitNotExecutable = 126 // as a shell: COMMAND cannot be executed
	exitNotFound      = 127 // as a shell: COMMAND is not found
)

var (
	// errNo is an answer, not a failure: exit code 1 without a message.
	errNo = errors.New("no")
	// errNoSession is the errNo of a request without a session. Some verbs say it.
	errNoSession = fmt.Errorf(`%w session; begin with eval "$(cgisession load --sh)"`, errNo)
	// errProblems and errUnknown are exit code 1 with a message: doctor found problems;
	// no session has the handle.
	errProblems = errors.New("problems found")
	errUnknown  = errors.New("no session")
	errGone     = errors.New("the session is gone: ended or cleaned up during this request")
	errNobody   = errors.New("there is no session, so nothing tells whose sessions to end: log in, and call again")
	errRotated  = errors.New("the session has a new id, and this one is in its grace: use the new one")
	errConflict = errors.New("another version is stored")
	errOutput   = errors.New("cannot write the answer; the change, if any, is stored")
	errVariable = errors.New("more than fits in the environment")
	errInternal = errors.New("internal error")
)

// usageError is a bad flag, argument, variable or line of the configuration file.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usagef(format string, a ...any) error { return usageError{fmt.Errorf(format, a...)} }

// exitCode returns the exit code of an error. Only this function chooses one.
func exitCode(err error) int {
	usage, command, child := usageError{}, commandError{}, childExit{}
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errNo), errors.Is(err, errFilter), errors.Is(err, errProblems),
		errors.Is(err, errUnknown):
		return exitNo
	case errors.As(err, &command):
		return command.code()
	case errors.As(err, &child):
		return child.code
	case errors.Is(err, errGone), errors.Is(err, errNobody), errors.Is(err, errRotated):
		return exitGone
	case errors.Is(err, errConflict):
		return exitConflict
	case errors.As(err, &usage), errors.Is(err, store.ErrBadKey),
		errors.Is(err, store.ErrOtherLock), errors.Is(err, store.ErrAmbiguous):
		return exitUsage
	case errors.Is(err, store.ErrBadJSON), errors.Is(err, store.ErrBadStep),
		errors.Is(err, store.ErrTooLarge), errors.Is(err, store.ErrCorrupt), errors.Is(err, errVariable):
		return exitData
	case errors.Is(err, store.ErrUnsupported), errors.Is(err, store.ErrUnavailable):
		return exitUnavailable
	case errors.Is(err, errInternal):
		return exitInternal
	case errors.Is(err, store.ErrLocked), errors.Is(err, store.ErrLockLost):
		return exitLocked
	case errors.Is(err, store.ErrConfig):
		return exitConfig
	case errors.Is(err, store.ErrUnsafe), errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return exitUnsafe
	}
	return exitIO
}
