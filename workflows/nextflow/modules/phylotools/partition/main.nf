process PHYLOTOOLS_PARTITION {
    tag "$meta.id"
    label 'process_high'

    conda "${moduleDir}/environment.yml"
    container "${ workflow.containerEngine == 'singularity' && !task.ext.singularity_pull_docker_container ?
        'https://depot.galaxyproject.org/singularity/phylotools:0.1.0--pyhdfd78af_0':
        'biocontainers/phylotools:0.1.0--pyhdfd78af_0' }"

    input:
    tuple val(meta), val(verb), path(work), val(part)

    output:
    tuple val(meta), val(verb), path(work), path("done/pieces/*"), emit: piece
    path "versions.yml"                                          , emit: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    """
    cp -RL $work done
    phylotools ${verb}-partition \\
        done \\
        $part \\
        -@ $task.cpus \\
        $args

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        phylotools: \$(phylotools --version | sed 's/.* //')
    END_VERSIONS
    """

    stub:
    """
    mkdir -p done/pieces/\$(printf %06d $part)

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        phylotools: \$(phylotools --version | sed 's/.* //')
    END_VERSIONS
    """
}
