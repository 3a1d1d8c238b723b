#!/usr/bin/env nextflow
// Variants to scored variants, or a genome to tracks, in parts: nextflow run main.nf --help

include { PHYLOTOOLS_INIT      } from './modules/phylotools/init/main'
include { PHYLOTOOLS_PARTITION } from './modules/phylotools/partition/main'
include { PHYLOTOOLS_FINALISE  } from './modules/phylotools/finalise/main'

// A verb of phylotools that works in parts: each part is a task, and what they leave is joined.
workflow PHYLOTOOLS_IN_PARTS {
    take:
    inputs // channel: [ val(meta), path(variants or regions), val('annotate' or 'tracks') ]
    model  // path, or []
    fasta  // path, or []

    main:
    PHYLOTOOLS_INIT(inputs, model, fasta)
    parts = PHYLOTOOLS_INIT.out.plan.flatMap { meta, verb, work, n_parts ->
        (0..<(n_parts.trim() as int)).collect { part -> [meta, verb, work, part] }
    }
    PHYLOTOOLS_PARTITION(parts)
    PHYLOTOOLS_FINALISE(PHYLOTOOLS_PARTITION.out.piece.groupTuple(by: [0, 1, 2]))

    emit:
    output   = PHYLOTOOLS_FINALISE.out.output  // channel: [ val(meta), path(vcf.gz or folder) ]
    tbi      = PHYLOTOOLS_FINALISE.out.tbi     // channel: [ val(meta), path(tbi) ]
    summary  = PHYLOTOOLS_FINALISE.out.summary // channel: [ val(meta), path(json) ]
    versions = PHYLOTOOLS_INIT.out.versions.mix(PHYLOTOOLS_PARTITION.out.versions, PHYLOTOOLS_FINALISE.out.versions)
}

workflow {
    if (!params.variants && !params.regions) {
        error("give --variants VCF (may hold wildcards), to annotate, or --regions BED, for tracks")
    }
    model  = params.model ? file(params.model, checkIfExists: true) : []
    fasta  = params.fasta ? file(params.fasta, checkIfExists: true) : []
    inputs = params.variants
        ? channel.fromPath(params.variants, checkIfExists: true).map { file -> [[id: file.simpleName], file, 'annotate'] }
        : channel.fromPath(params.regions, checkIfExists: true).map { file -> [[id: file.simpleName], file, 'tracks'] }
    PHYLOTOOLS_IN_PARTS(inputs, model, fasta)
}
