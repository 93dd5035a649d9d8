{{/* Rights on aimd's own kinds: `all` are read and told their status, `made` are also created, changed and deleted. */}}
{{- define "aimd.rules.own" -}}
- apiGroups: [aim.eai.amd.com]
  resources:
    {{- toYaml .all | nindent 4 }}
  verbs: [get, list, watch]
- apiGroups: [aim.eai.amd.com]
  resources:
    {{- range .all }}
    - {{ . }}/status
    {{- end }}
  verbs: [patch]
- apiGroups: [aim.eai.amd.com]
  resources:
    {{- toYaml .made | nindent 4 }}
  verbs: [create, delete, patch]
{{- end }}

{{/* Rights on what lives in a namespace. */}}
{{- define "aimd.rules.namespaced" -}}
{{- $made := list "aimartifacts" "aimmodels" "aimservicetemplates" "aimtemplatecaches" -}}
{{ include "aimd.rules.own" (dict "all" (concat $made (list "aimruntimeconfigs" "aimservices")) "made" $made) }}
# The finalizer of services.
- apiGroups: [aim.eai.amd.com]
  resources: [aimservices]
  verbs: [patch]
# A download job reports progress under an account whose Role aimd writes, and nobody may grant what he does not hold.
- apiGroups: [aim.eai.amd.com]
  resources: [aimartifacts/status]
  verbs: [get]
# What services and artifacts are made of. Where the admission plugin OwnerReferencesPermissionEnforcement is on, only
# who may delete an object may write its owner references.
- apiGroups: [""]
  resources: [configmaps, persistentvolumeclaims]
  verbs: [create, delete, get, list, patch, watch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [create, delete, get, list, patch, watch]
- apiGroups: [serving.kserve.io]
  resources: [inferenceservices]
  verbs: [create, delete, get, list, patch, watch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [create, delete, get, list, patch, watch]
# One identity per download, allowed to patch the status of its own artifact and nothing else.
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [create, delete, get, list, patch, watch]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [create, delete, get, list, patch, watch]
# What is only looked at: how pods do and what scales.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list, watch]
# Whether KEDA is there at all; KServe leaves its object behind when a service no longer scales by itself.
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [delete, list, watch]
# Pull secrets and credentials are read by name when needed, never listed, watched or kept.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
# Events are written about aimd's objects and read about pods and InferenceServices.
- apiGroups: [""]
  resources: [events]
  verbs: [create, list, patch, watch]
{{- end }}

{{/* Rights on what belongs to no namespace. */}}
{{- define "aimd.rules.cluster" -}}
{{- $made := list "aimclustermodels" "aimclusterservicetemplates" -}}
{{ include "aimd.rules.own" (dict "all" (concat $made (list "aimclustermodelsources" "aimclusterruntimeconfigs")) "made" $made) }}
# Which GPUs there are, which volumes can grow, whether a namespace ends.
- apiGroups: [""]
  resources: [nodes]
  verbs: [list, watch]
- apiGroups: [storage.k8s.io]
  resources: [storageclasses]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
{{- end }}
