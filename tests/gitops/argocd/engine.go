package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	jsonpatch "github.com/evanphx/json-patch"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/argoproj/argo-cd/v3/common"
	appv1 "github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/argo"
	argodiff "github.com/argoproj/argo-cd/v3/util/argo/diff"
	"github.com/argoproj/argo-cd/v3/util/argo/normalizers"
	argokube "github.com/argoproj/argo-cd/v3/util/kube"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/argoproj/argo-cd/v3/util/settings"
	"github.com/argoproj/gitops-engine/pkg/cache"
	"github.com/argoproj/gitops-engine/pkg/diff"
	"github.com/argoproj/gitops-engine/pkg/health"
	"github.com/argoproj/gitops-engine/pkg/sync"
	synccommon "github.com/argoproj/gitops-engine/pkg/sync/common"
	"github.com/argoproj/gitops-engine/pkg/utils/kube"
)

const (
	// How Argo CD tracks by default since v3.
	tracking = appv1.TrackingMethodAnnotation
	// As long as Argo CD waits between two steps of an operation whose resources do not change.
	stepInterval = time.Second
)

// engine is what Argo CD's application controller holds for one cluster.
type engine struct {
	options
	config    *rest.Config
	kubectl   kube.Kubectl
	cache     cache.ClusterCache
	overrides map[string]appv1.ResourceOverride
	diffs     settings.ArgoCDDiffOptions
	track     argo.ResourceTracking
}

// tracked is kept by the cache for each live object: the Application that it belongs to.
type tracked struct{ app string }

func newEngine(ctx context.Context, o options) (*engine, error) {
	config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 100, 200
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	manager := settings.NewSettingsManager(ctx, clientset, o.settingsNamespace)
	overrides, err := manager.GetResourceOverrides()
	if err != nil {
		return nil, fmt.Errorf("argocd-cm: %w", err)
	}
	diffs, err := manager.GetResourceCompareOptions()
	if err != nil {
		return nil, fmt.Errorf("argocd-cm: %w", err)
	}
	e := &engine{options: o, config: config, kubectl: argokube.NewKubectl(), overrides: overrides, diffs: diffs, track: argo.NewResourceTracking()}
	e.cache = cache.NewClusterCache(config,
		cache.SetLogr(engineLog()),
		cache.SetKubectl(e.kubectl),
		cache.SetPopulateResourceInfoHandler(func(object *unstructured.Unstructured, _ bool) (any, bool) {
			app := e.track.GetAppName(object, common.LabelKeyAppInstance, tracking, "")
			return tracked{app}, app != ""
		}))
	return e, e.cache.EnsureSynced()
}

func (e *engine) close() { e.cache.Invalidate() }

// state is one comparison of the revision with the cluster, as controller/state.go makes it.
type state struct {
	app         string
	reconciled  sync.ReconciliationResult
	differences *diff.DiffResultList
	overrides   map[string]appv1.ResourceOverride
}

// compare reads the file and the cluster's live objects again.
func (e *engine) compare(_ context.Context) (*state, error) {
	text, err := os.ReadFile(e.manifests)
	if err != nil {
		return nil, err
	}
	targets, err := kube.SplitYAML(text)
	if err != nil {
		return nil, err
	}
	for _, target := range targets {
		namespaced, err := e.cache.IsNamespaced(target.GroupVersionKind().GroupKind())
		if err == nil && namespaced && target.GetNamespace() == "" {
			target.SetNamespace(e.namespace)
		}
		if err := e.track.SetAppInstance(target, common.LabelKeyAppInstance, e.app, e.namespace, tracking, ""); err != nil {
			return nil, err
		}
	}
	live, err := e.cache.GetManagedLiveObjs(targets, func(resource *cache.Resource) bool {
		info, ok := resource.Info.(tracked)
		return ok && info.app == e.app
	})
	if err != nil {
		return nil, err
	}
	reconciled := sync.Reconcile(targets, live, e.namespace, e.cache)
	config, err := argodiff.NewDiffConfigBuilder().
		WithDiffSettings(nil, e.overrides, e.diffs.IgnoreAggregatedRoles, normalizers.IgnoreNormalizerOpts{}).
		WithTracking(common.LabelKeyAppInstance, string(tracking)).
		WithNoCache().
		WithGVKParser(e.cache.GetGVKParser()).
		WithManager(common.ArgoCDSSAManager).
		WithStructuredMergeDiff(e.serverSide).
		Build()
	if err != nil {
		return nil, err
	}
	differences, err := argodiff.StateDiffs(reconciled.Live, reconciled.Target, config)
	if err != nil {
		return nil, err
	}
	return &state{app: e.app, reconciled: reconciled, differences: differences, overrides: e.overrides}, nil
}

// report is what Argo CD shows of an Application.
type report struct {
	Sync      appv1.SyncStatusCode    `json:"sync"`
	Health    health.HealthStatusCode `json:"health"`
	Resources []resourceReport        `json:"resources"`
}

type resourceReport struct {
	Key             string                  `json:"key"`
	Sync            appv1.SyncStatusCode    `json:"sync"`
	Health          health.HealthStatusCode `json:"health,omitempty"`
	Message         string                  `json:"message,omitempty"`
	RequiresPruning bool                    `json:"requiresPruning,omitempty"`
	Difference      string                  `json:"difference,omitempty"`
}

func (s *state) report() report {
	all := report{Sync: appv1.SyncStatusCodeSynced, Health: health.HealthStatusHealthy}
	for i, target := range s.reconciled.Target {
		live := s.reconciled.Live[i]
		object := live
		if object == nil {
			object = target
		}
		one := resourceReport{Key: key(object), Sync: appv1.SyncStatusCodeSynced, RequiresPruning: target == nil}
		if s.outOfSync(i) {
			one.Sync, all.Sync = appv1.SyncStatusCodeOutOfSync, appv1.SyncStatusCodeOutOfSync
			if target != nil && live != nil {
				patch, _ := jsonpatch.CreateMergePatch(s.differences.Diffs[i].NormalizedLive, s.differences.Diffs[i].PredictedLive)
				one.Difference = string(patch)
			}
		}
		status := &health.HealthStatus{Status: health.HealthStatusMissing}
		if live != nil {
			status, _ = health.GetResourceHealth(live, lua.ResourceHealthOverrides(s.overrides))
		}
		if status != nil {
			one.Health, one.Message = status.Status, status.Message
			if health.IsWorse(all.Health, status.Status) {
				all.Health = status.Status
			}
		}
		all.Resources = append(all.Resources, one)
	}
	slices.SortFunc(all.Resources, func(a, b resourceReport) int { return strings.Compare(a.Key, b.Key) })
	return all
}

func (s *state) outOfSync(i int) bool {
	return s.reconciled.Target[i] == nil || s.reconciled.Live[i] == nil || s.differences.Diffs[i].Modified
}

// operation is the end of a sync.
type operation struct {
	Phase     synccommon.OperationPhase `json:"phase"`
	Message   string                    `json:"message"`
	Seconds   float64                   `json:"seconds"`
	Resources []resourceResult          `json:"resources"`
	// Each message that the operation showed on its way, once.
	Story []string `json:"story"`
}

type resourceResult struct {
	Key     string                    `json:"key"`
	Status  synccommon.ResultCode     `json:"status,omitempty"`
	Phase   synccommon.OperationPhase `json:"phase,omitempty"`
	Message string                    `json:"message"`
}

// sync makes one operation. As in controller/sync.go each step is a new context over a new comparison, with what the steps
// before have come to as its initial state.
func (e *engine) sync(ctx context.Context) (*operation, error) {
	started := metav1.Now()
	phase, message := synccommon.OperationRunning, ""
	var results []synccommon.ResourceSyncResult
	var story []string
	// What a self-heal covers is chosen once, when it is triggered.
	var chosen map[kube.ResourceKey]bool
	for !phase.Completed() {
		current, err := e.compare(ctx)
		if err != nil {
			return nil, err
		}
		if e.selfHeal && chosen == nil {
			chosen = map[kube.ResourceKey]bool{}
			for i, target := range current.reconciled.Target {
				if target != nil && current.outOfSync(i) {
					chosen[kube.GetResourceKey(target)] = true
				}
			}
		}
		prune := metav1.DeletePropagationForeground
		step, cleanup, err := sync.NewSyncContext("revision", current.reconciled, e.config, e.config, e.kubectl, e.namespace, e.cache.GetOpenAPISchema(),
			sync.WithLogr(engineLog()),
			sync.WithHealthOverride(lua.ResourceHealthOverrides(e.overrides)),
			sync.WithOperationSettings(false, e.prune, false, e.selfHeal),
			sync.WithInitialState(phase, message, results, started),
			sync.WithResourcesFilter(func(key kube.ResourceKey, _, _ *unstructured.Unstructured) bool {
				return chosen == nil || chosen[key]
			}),
			sync.WithManifestValidation(true),
			sync.WithSyncWaveHook(func(_ synccommon.SyncPhase, _ int, final bool) error {
				if !final {
					time.Sleep(2 * time.Second)
				}
				return nil
			}),
			sync.WithPrunePropagationPolicy(&prune),
			sync.WithServerSideApply(e.serverSide),
			sync.WithServerSideApplyManager(common.ArgoCDSSAManager),
		)
		if err != nil {
			return nil, err
		}
		if time.Since(started.Time) > e.timeout {
			step.Terminate()
		} else {
			step.Sync()
		}
		phase, message, results = step.GetState()
		cleanup()
		if len(story) == 0 || story[len(story)-1] != message {
			story = append(story, message)
			fmt.Fprintf(os.Stderr, "%5.1f s  %s: %s\n", time.Since(started.Time).Seconds(), phase, message)
		}
		if !phase.Completed() {
			time.Sleep(stepInterval)
		}
	}
	end := &operation{Phase: phase, Message: message, Seconds: time.Since(started.Time).Seconds(), Story: story}
	for _, result := range results {
		end.Resources = append(end.Resources, resourceResult{
			Key: keyOf(result.ResourceKey), Status: result.Status, Phase: result.HookPhase, Message: result.Message,
		})
	}
	return end, nil
}

// action runs an action of argocd-cm on a live object, as server/application does: the script's object becomes a merge patch.
func (e *engine) action(ctx context.Context, name, action string) error {
	current, err := e.compare(ctx)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(current.reconciled.Live, func(live *unstructured.Unstructured) bool { return live != nil && key(live) == name })
	if at < 0 {
		return fmt.Errorf("the Application has no live %s", name)
	}
	live := current.reconciled.Live[at]
	vm := lua.VM{ResourceOverrides: e.overrides}
	scripts, err := vm.GetResourceActionDiscovery(live)
	if err != nil {
		return err
	}
	found, err := vm.ExecuteResourceActionDiscovery(live, scripts)
	if err != nil {
		return err
	}
	offered := slices.IndexFunc(found, func(it appv1.ResourceAction) bool { return it.Name == action && !it.Disabled })
	if offered < 0 {
		return fmt.Errorf("the action %q is not offered for %s now", action, name)
	}
	definition, err := vm.GetResourceAction(live, action)
	if err != nil {
		return err
	}
	changed, err := vm.ExecuteResourceAction(live, definition.ActionLua, nil)
	if err != nil {
		return err
	}
	for _, it := range changed {
		before, err := json.Marshal(live)
		if err != nil {
			return err
		}
		after, err := json.Marshal(it.UnstructuredObj)
		if err != nil {
			return err
		}
		patch, err := jsonpatch.CreateMergePatch(before, after)
		if err != nil {
			return err
		}
		fmt.Println(string(patch))
		object := it.UnstructuredObj
		if _, err := e.kubectl.PatchResource(ctx, e.config, object.GroupVersionKind(), object.GetName(), object.GetNamespace(), types.MergePatchType, patch); err != nil {
			return err
		}
	}
	return nil
}

func key(object *unstructured.Unstructured) string { return keyOf(kube.GetResourceKey(object)) }

func keyOf(key kube.ResourceKey) string {
	if key.Namespace == "" {
		return key.Kind + "/" + key.Name
	}
	return key.Kind + "/" + key.Namespace + "/" + key.Name
}
