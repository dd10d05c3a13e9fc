package main

import (
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// CLOCK_BOOTTIME goes on while the process is stopped, and while the machine is suspended. Go's own clock does not
// count a suspension.
const clockBoottime = 7

// now is the time by the clock of the lease.
func now() time.Duration {
	var t syscall.Timespec
	_, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockBoottime, uintptr(unsafe.Pointer(&t)), 0)
	if errno != 0 {
		panic(errno)
	}
	return time.Duration(t.Nano())
}

// lease is what this process knows of its lease. It is lost at nine tenths, for good.
type lease struct {
	length time.Duration
	mutex  sync.Mutex
	// since is when the last heartbeat that succeeded was sent.
	since  time.Duration
	fenced bool
}

func newLease(length, since time.Duration) *lease {
	l := &lease{length: length, since: since}
	go func() {
		for {
			time.Sleep(20 * time.Millisecond)
			l.check()
		}
	}()
	return l
}

// renew counts from the moment before the heartbeat was sent. A lease that is over stays over.
func (l *lease) renew(sent time.Duration) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.endIfOver()
	l.since = sent
}

// fence ends the process: the server has fenced the service.
func (l *lease) fence() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.fenced = true
	l.endIfOver()
}

// check ends the process if the lease is over. It is the look before each step.
func (l *lease) check() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.endIfOver()
}

// say prints a line, unless the lease is over.
func (l *lease) say(format string, args ...interface{}) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.endIfOver()
	fmt.Printf(format+"\n", args...)
}

func (l *lease) endIfOver() {
	if l.fenced || now()-l.since >= l.length/10*9 {
		fmt.Println("lost")
		os.Exit(3)
	}
}
