package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// idleLimit is how long a control plane of a pool waits for its next user, and useLimit how long one may keep it: whoever was
	// orphaned with the lock would keep it for ever.
	idleLimit = 60 * time.Second
	useLimit  = 30 * time.Minute
	// quietTime is how long nothing may be written before a baseline is taken: controllers follow what was installed.
	quietTime    = time.Second
	passInterval = 50 * time.Millisecond
	passes       = 200
)

// pool lets a control plane serve many users, one after another. The user is who holds the lock on the file `lock`.
//
//	POST /keep         takes the present state as the baseline
//	POST /reset        puts the baseline back, and answers when it is there
//	GET  /differences  what differs from the baseline, one key on each line
//
// They are served at the address in DIR/pool-url. DIR/pid says whose the directory is: without it, or with another's, this process ends.
type pool struct {
	dir, lock string
	store     store
	access    access
	// restart kills everything that remembers what was, calls the function, and starts it again.
	restart func(func() error) error

	mutex    sync.Mutex // one request at a time
	baseline map[string]entry
	taken    atomic.Int64 // when the last request came
}

// difference is what was changed since the baseline.
type difference struct {
	puts    map[string]entry // as they were
	deletes []string         // that were not there
}

func (d difference) isEmpty() bool { return len(d.puts) == 0 && len(d.deletes) == 0 }

func (d difference) keys() []string {
	keys := slices.Clone(d.deletes)
	for key := range d.puts {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// serve answers requests until the process ends.
func (p *pool) serve() error {
	p.taken.Store(time.Now().UnixNano())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	routes := http.NewServeMux()
	for pattern, act := range map[string]func() (string, error){
		"POST /keep":       p.keep,
		"POST /reset":      p.reset,
		"GET /differences": p.differences,
	} {
		routes.HandleFunc(pattern, func(answer http.ResponseWriter, _ *http.Request) {
			p.taken.Store(time.Now().UnixNano())
			p.mutex.Lock()
			defer p.mutex.Unlock()
			text, err := act()
			if err != nil {
				fmt.Fprintf(os.Stderr, "control-plane: %s: %v\n", pattern, err)
				http.Error(answer, err.Error(), http.StatusInternalServerError)
				return
			}
			_, _ = answer.Write([]byte(text))
		})
	}
	go func() { _ = http.Serve(listener, routes) }()
	return os.WriteFile(filepath.Join(p.dir, "pool-url"), []byte("http://"+listener.Addr().String()), 0o600)
}

func (p *pool) keep() (string, error) {
	var kept map[string]entry
	for began := time.Now(); ; time.Sleep(quietTime) {
		found, err := p.store.list(true)
		if err != nil {
			return "", err
		}
		if kept != nil && difference.isEmpty(compare(kept, found)) {
			break
		}
		if time.Since(began) > startTimeout {
			return "", fmt.Errorf("after %s something is still written: %s", startTimeout, compare(kept, found).keys())
		}
		kept = found
	}
	// An event goes by itself, and nobody asks for one of the installation.
	for key := range kept {
		if strings.HasPrefix(key, "/registry/events/") {
			delete(kept, key)
		}
	}
	p.baseline = kept
	return fmt.Sprintf("kept %d keys", len(kept)), nil
}

func compare(baseline, found map[string]entry) (differs difference) {
	differs.puts = map[string]entry{}
	for key, was := range baseline {
		if is, ok := found[key]; !ok || is.revision != was.revision {
			differs.puts[key] = was
		}
	}
	for key := range found {
		if _, ok := baseline[key]; !ok {
			differs.deletes = append(differs.deletes, key)
		}
	}
	return differs
}

func (p *pool) look() (difference, error) {
	if p.baseline == nil {
		return difference{}, errors.New("there is no baseline")
	}
	found, err := p.store.list(false)
	return compare(p.baseline, found), err
}

func (p *pool) differences() (string, error) {
	differs, err := p.look()
	return strings.Join(append(differs.keys(), ""), "\n"), err
}

func (p *pool) put(differs difference) error {
	revision, err := p.store.write(differs.puts, differs.deletes)
	if err != nil {
		return err
	}
	for key, was := range differs.puts {
		p.baseline[key] = entry{value: was.value, revision: revision}
	}
	return nil
}

// reset puts the baseline back. The API server hears of it by its watches, as of any write. For what is not plain, the API server and the
// controllers start again.
func (p *pool) reset() (string, error) {
	differs, err := p.look()
	if err != nil || differs.isEmpty() {
		return "as it was", err
	}
	why, err := p.reasonToRestart(differs)
	if err != nil {
		return "", err
	}
	if why != "" {
		err := p.restart(func() error {
			differs, err := p.look()
			if err != nil {
				return err
			}
			_ = os.RemoveAll(filepath.Join(p.dir, "kubectl-cache"))
			return p.put(differs)
		})
		if err != nil {
			return "", err
		}
	}
	for pass := range passes {
		if pass > 0 {
			time.Sleep(passInterval)
		}
		if differs, err = p.look(); err != nil {
			return "", err
		}
		if differs.isEmpty() {
			if why != "" {
				return "reset and restarted, because of " + why, nil
			}
			return "reset", nil
		}
		if pass == 0 {
			differs = withoutNewAccounts(differs)
		}
		if err := p.put(differs); err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("these do not stay as they were: %s", differs.keys())
}

// withoutNewAccounts leaves the ServiceAccounts of new namespaces for the next pass. Their controller makes one that is gone again
// for as long as it knows the namespace.
func withoutNewAccounts(differs difference) difference {
	accounts := func(key string) bool {
		name, _, _ := strings.Cut(strings.TrimPrefix(key, "/registry/serviceaccounts/"), "/")
		return strings.HasPrefix(key, "/registry/serviceaccounts/") && slices.Contains(differs.deletes, "/registry/namespaces/"+name)
	}
	return difference{puts: differs.puts, deletes: slices.DeleteFunc(slices.Clone(differs.deletes), accounts)}
}

// plain is what the API server has nothing in memory of but its caches, and no controller writes: a new process would make no difference.
var plain = []string{
	"/registry/clusterrolebindings/",
	"/registry/configmaps/",
	"/registry/ecs.password-reset.dev/",
	"/registry/events/",
	"/registry/leases/",
	"/registry/namespaces/",
	"/registry/rolebindings/",
	"/registry/roles/",
	"/registry/secrets/",
	"/registry/serviceaccounts/",
}

// reasonToRestart is the first key, if there is one, that takes a new API server and new controllers.
func (p *pool) reasonToRestart(differs difference) (string, error) {
	namespaces := false
	for _, key := range differs.keys() {
		if !slices.ContainsFunc(plain, func(prefix string) bool { return strings.HasPrefix(key, prefix) }) {
			return key, nil
		}
		// One that was there may be made again by its controller.
		if _, isPut := differs.puts[key]; isPut && strings.HasPrefix(key, "/registry/serviceaccounts/") {
			return key, nil
		}
		namespaces = namespaces || strings.HasPrefix(key, "/registry/namespaces/")
	}
	if !namespaces {
		return "", nil
	}
	var found struct {
		Items []struct {
			Metadata struct {
				Name              string  `json:"name"`
				DeletionTimestamp *string `json:"deletionTimestamp"`
			} `json:"metadata"`
		} `json:"items"`
	}
	body, err := p.access.get(context.Background(), "/api/v1/namespaces")
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(body, &found); err != nil {
		return "", err
	}
	there := map[string]bool{}
	for _, item := range found.Items {
		key := "/registry/namespaces/" + item.Metadata.Name
		there[key] = true
		if item.Metadata.DeletionTimestamp != nil {
			return key, nil
		}
	}
	for key := range differs.puts {
		if strings.HasPrefix(key, "/registry/namespaces/") && !there[key] {
			return key, nil
		}
	}
	return "", nil
}

// watch returns when nobody wants this control plane any more. Then nobody can take it: its directory is no longer its own, or is gone.
func (p *pool) watch(ctx context.Context) error {
	lock, err := os.OpenFile(p.lock, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	var busy time.Time
	for ctx.Err() == nil {
		time.Sleep(time.Second)
		if pid, _ := os.ReadFile(filepath.Join(p.dir, "pid")); string(pid) != strconv.Itoa(os.Getpid()) {
			return nil
		}
		taken := time.Unix(0, p.taken.Load())
		if time.Since(taken) > useLimit {
			return fmt.Errorf("one user had it for %s", useLimit)
		}
		if time.Since(taken) < idleLimit || time.Since(busy) < idleLimit {
			continue
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
			busy = time.Now()
			continue
		}
		return os.RemoveAll(p.dir)
	}
	return nil
}
