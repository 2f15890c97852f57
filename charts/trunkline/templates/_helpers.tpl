{{/* The release's base name, at most 40 characters, so that every name made of it fits 63. */}}
{{- define "trunkline.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* What tells this release's pods from all others. */}}
{{- define "trunkline.releaseLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Selector of one component. Takes {root, name}. */}}
{{- define "trunkline.selector" -}}
{{ include "trunkline.releaseLabels" .root }}
app.kubernetes.io/component: {{ .name }}
{{- end -}}

{{- define "trunkline.labels" -}}
{{ include "trunkline.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: trunkline
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Takes {root, name}: `release-trunkline-router`. */}}
{{- define "trunkline.componentName" -}}
{{ include "trunkline.fullname" .root }}-{{ .name }}
{{- end -}}

{{/* The gRPC target of a component. Takes {root, name}. */}}
{{- define "trunkline.target" -}}
dns:///{{ include "trunkline.componentName" . }}.{{ .root.Release.Namespace }}.svc.{{ .root.Values.clusterDomain }}:9090
{{- end -}}

{{/* Where the gateway finds the replicas of each worker: by name, or by what the API server says of their Service. */}}
{{- define "trunkline.workerTarget" -}}
{{- $worker := dict "root" . "name" "worker-{model}" -}}
{{- if eq .Values.gateway.discovery "endpointSlices" -}}
k8s:///{{ .Release.Namespace }}/{{ include "trunkline.componentName" $worker }}:grpc
{{- else -}}
{{ include "trunkline.target" $worker }}
{{- end -}}
{{- end -}}

{{/* Takes {root, image}. */}}
{{- define "trunkline.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ default .root.Chart.AppVersion .image.tag }}
{{- end -}}
{{- end -}}

{{/* Every component as a JSON object: name to its values. */}}
{{- define "trunkline.components" -}}
{{- $all := dict "gateway" .Values.gateway "router" .Values.router "cache" .Values.cache "guardrails" .Values.guardrails "sre" .Values.sre -}}
{{- range $name, $worker := .Values.workers -}}
{{- $_ := set $all (printf "worker-%s" $name) $worker -}}
{{- end -}}
{{ toJson $all }}
{{- end -}}

{{/* A worker's entry in trunkline.yaml: its settings over what its hardware suggests. */}}
{{- define "trunkline.workerSettings" -}}
{{- $gpu := int (dig "gpu" "count" 0 .) -}}
{{- toJson (mergeOverwrite (ternary (dict "device" "cuda" "variant" "f16") (dict) (gt $gpu 0)) (deepCopy .settings)) -}}
{{- end -}}

{{/* Seconds between SIGTERM, or preStop, and SIGKILL. */}}
{{- define "trunkline.graceSeconds" -}}
{{- $drain := int (ceil (dig "server" "drain_grace_s" 30.0 .Values.config)) -}}
{{ add (int .Values.termination.preStopSeconds) $drain (int .Values.termination.marginSeconds) }}
{{- end -}}

{{/* trunkline.yaml, as JSON: YAML from here would write large whole numbers as 1e+07, which is no whole number. */}}
{{- define "trunkline.config" -}}
{{- $root := . -}}
{{- $own := dict "listen" (dict "http" "0.0.0.0:8080" "grpc" "0.0.0.0:9090" "metrics" "0.0.0.0:9464") -}}
{{- $services := dict -}}
{{- range $name := list "router" "cache" "guardrails" "sre" -}}
{{- $_ := set $services $name (include "trunkline.target" (dict "root" $root "name" $name)) -}}
{{- end -}}
{{- $workers := dict -}}
{{- range $name, $worker := .Values.workers -}}
{{- $_ := set $workers $name (include "trunkline.workerSettings" $worker | fromJson) -}}
{{- end -}}
{{- $local := dict "kind" "worker" "target" (include "trunkline.workerTarget" .) -}}
{{- $_ := set $own "services" $services -}}
{{- $_ := set $own "workers" $workers -}}
{{- $_ := set $own "providers" (dict "local" $local) -}}
{{- if .Values.apiKey.existingSecret -}}
{{- $key := dict "id" "default" "secret" "env:TRUNKLINE_API_KEY" -}}
{{- $_ := set $own "keys" (prepend (default list .Values.config.keys) $key) -}}
{{- end -}}
{{- $gateways := ternary .Values.gateway.autoscaling.minReplicas .Values.gateway.replicas .Values.gateway.autoscaling.enabled | int -}}
{{- $_ := set $own "server" (mergeOverwrite (dict "gateways" $gateways) (default dict .Values.config.server)) -}}
{{- include "trunkline.checkDeployments" . -}}
{{- toPrettyJson (mergeOverwrite (deepCopy .Values.config) (omit $own "providers") (dict "providers" (mergeOverwrite (pick $own "providers").providers (default dict .Values.config.providers)))) -}}
{{- end -}}

{{/* Refuse a model at provider `local` that no worker of this chart runs: its address would not exist. */}}
{{- define "trunkline.checkDeployments" -}}
{{- if not (dig "providers" "local" false .Values.config) -}}
{{- range $name, $model := .Values.config.models -}}
{{- range $deployment := $model.deployments -}}
{{- if and (eq $deployment.provider "local") (not (hasKey $.Values.workers $deployment.model)) -}}
{{- fail (printf "config.models.%s: workers has no %q; add it, or deploy the model at another provider" $name $deployment.model) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
