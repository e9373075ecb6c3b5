// Package schema names Flux's API of HelmReleases, from whose types `scripts/tools flux-crds` generates the CRD as Flux does. Its
// module helm-controller, which has the generated file, is not served by the module proxy.
package schema

import _ "github.com/fluxcd/helm-controller/api/v2"
