package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// store reads and writes what the API server has in etcd, by etcd's JSON gateway: its client would be a dependency of the build `external`.
type store struct {
	url    string
	client http.Client
}

// entry is one key. Its value is as the gateway gives and takes it, in base64; a list of keys has none.
type entry struct {
	value    string
	revision int64
}

func newStore(url string) store {
	return store{url: url, client: http.Client{Timeout: 30 * time.Second}}
}

// list is every key of the API server, of one revision. What nobody but the control plane's own processes writes, at any time, is left out.
func (s store) list(values bool) (map[string]entry, error) {
	var answer struct {
		Kvs []struct {
			Key         string `json:"key"`
			Value       string `json:"value"`
			ModRevision int64  `json:"mod_revision,string"`
		} `json:"kvs"`
	}
	from, to := encode("/registry/"), encode("/registry0")
	if err := s.call("/v3/kv/range", map[string]any{"key": from, "range_end": to, "keys_only": !values}, &answer); err != nil {
		return nil, err
	}
	entries := make(map[string]entry, len(answer.Kvs))
	for _, kv := range answer.Kvs {
		key, err := base64.StdEncoding.DecodeString(kv.Key)
		if err != nil {
			return nil, err
		}
		if !isVolatile(string(key)) {
			entries[string(key)] = entry{value: kv.Value, revision: kv.ModRevision}
		}
	}
	return entries, nil
}

// isVolatile: leases by which API servers know each other, and allocations that are written again every few minutes.
func isVolatile(key string) bool {
	for _, prefix := range []string{"/registry/leases/kube-system/", "/registry/masterleases/", "/registry/peerserverleases/", "/registry/ranges/"} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// write puts and deletes in one transaction, and returns its revision, which each key that was put has then.
func (s store) write(puts map[string]entry, deletes []string) (int64, error) {
	var operations []map[string]any
	for key, entry := range puts {
		put := map[string]any{"key": encode(key), "value": entry.value}
		operations = append(operations, map[string]any{"request_put": put})
	}
	for _, key := range deletes {
		operations = append(operations, map[string]any{"request_delete_range": map[string]any{"key": encode(key)}})
	}
	var answer struct {
		Header struct {
			Revision int64 `json:"revision,string"`
		} `json:"header"`
		Succeeded bool `json:"succeeded"`
	}
	if err := s.call("/v3/kv/txn", map[string]any{"success": operations}, &answer); err != nil {
		return 0, err
	}
	if !answer.Succeeded {
		return 0, fmt.Errorf("etcd did not carry out a transaction of %d keys", len(operations))
	}
	return answer.Header.Revision, nil
}

func (s store) call(path string, question, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	response, err := s.client.Post(s.url+path, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("etcd answers %s to %s: %.300s", response.Status, path, text)
	}
	return json.Unmarshal(text, answer)
}

func encode(key string) string { return base64.StdEncoding.EncodeToString([]byte(key)) }
